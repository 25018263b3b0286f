"""The GPU consumer: takes one job at a time, renders it in a process of its own, stores and settles it."""
