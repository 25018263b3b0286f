"""What travels through RabbitMQ. One module a version; released versions are never edited in place."""
