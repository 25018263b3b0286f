"""What goes when it is old enough: rows by their ages, jobs that nothing holds any more, and the objects of both.

Everything here works in bounded batches along an index, and rests between two of them as long as a batch took.
"""
