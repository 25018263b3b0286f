"""The operators' desk as Python: dead letters, their groups and replays, queues, workers, keys and the audit log."""
