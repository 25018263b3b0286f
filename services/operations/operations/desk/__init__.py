"""The desk: dead letters as operators list, search, reveal, export, discard and restore them.

Reading changes nothing. A list walks ids, which are ordered by time, along an index for its narrowest filter.
"""
