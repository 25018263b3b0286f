"""The database schema: numbered migrations, and the snapshot that they must equal."""

from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

OUTSIDE = "-- darkroom: outside a transaction\n"
"""First line of a migration that cannot run in a transaction. It has one statement, which may be repeated."""


class Migration(msgspec.Struct, frozen=True):
    """A numbered step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def in_transaction(self) -> bool:
        """Whether it is applied atomically; otherwise it is one statement such as CREATE INDEX CONCURRENTLY."""
        return not self.sql.startswith(OUTSIDE)


def migrations() -> list[Migration]:
    """Return all migrations, oldest first. Files are named `NNNN_name.sql`."""
    folder = files(__name__) / "migrations"
    return [_migration(file) for file in sorted(folder.iterdir(), key=lambda f: f.name) if file.name.endswith(".sql")]


def snapshot() -> str:
    """Return the SQL that makes an empty database equal to a fully migrated one."""
    return (files(__name__) / "schema.sql").read_text()


def _migration(file: Traversable) -> Migration:
    version, name = file.name.removesuffix(".sql").split("_", 1)
    return Migration(int(version), name, file.read_text())
