"""Webhook endpoints: create, list, change, delete, test, rotate, count."""
