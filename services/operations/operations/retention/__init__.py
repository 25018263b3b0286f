"""Retention: the removal of old rows, of old jobs that nothing refers to, and of their objects.

All statements work in bounded batches along an index, and the loops rest between two batches as long as one took.
"""
