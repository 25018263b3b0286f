"""Retention: rows that are removed for their age, jobs that nothing holds any more, and the objects of both.

All statements work in bounded batches along an index, and the loops rest between two batches as long as one took.
"""
