"""Dead letters: the ingest of the dead-letter queue, and the inspection by operators."""
