"""Rows of migrations."""

import hashlib

import msgspec

from darkroom_contracts.schema import Migration


class AppliedMigration(msgspec.Struct, frozen=True):
    """A row of `schema_migrations`."""

    version: int
    name: str
    sha256: str
    """SHA-256 of the migration's text, in hexadecimal."""

    @classmethod
    def of(cls, migration: Migration) -> "AppliedMigration":
        """Return the row that records a migration."""
        return cls(migration.version, migration.name, hashlib.sha256(migration.sql.encode()).hexdigest())
