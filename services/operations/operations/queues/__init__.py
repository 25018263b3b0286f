"""Queues: what waits in the database, as metrics."""
