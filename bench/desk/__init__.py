"""The operators' desk over a million dead letters: lists, searches, groups, and the ingest of messages."""
