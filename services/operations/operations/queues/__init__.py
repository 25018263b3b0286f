"""Queues: metrics of the jobs, messages and dead letters that wait."""
