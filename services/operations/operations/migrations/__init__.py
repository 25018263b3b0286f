"""Migrations: the schema of the database, and the session defaults of its roles."""
