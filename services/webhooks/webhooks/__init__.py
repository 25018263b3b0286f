"""Webhooks: deliveries are claimed from the database, sent and logged."""
