"""Dead letters: the ingest of the dead-letter queue."""
