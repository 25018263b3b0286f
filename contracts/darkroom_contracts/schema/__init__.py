"""The database schema: numbered migrations, and the snapshot that they must equal."""

from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

OUTSIDE = "-- darkroom: outside a transaction\n"
"""The first line of a migration that can't run in a transaction. It holds one statement, which may be repeated."""


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    sql: str

    @property
    def in_transaction(self) -> bool:
        """Whether it is applied whole or not at all; else it is one statement, like CREATE INDEX CONCURRENTLY."""
        return not self.sql.startswith(OUTSIDE)


def migrations() -> list[Migration]:
    """All migrations, oldest first. Files are named `NNNN_name.sql`."""
    folder = files(__name__) / "migrations"
    return [_migration(file) for file in sorted(folder.iterdir(), key=lambda f: f.name) if file.name.endswith(".sql")]


def snapshot() -> str:
    """The SQL that makes an empty database equal to a fully migrated one."""
    return (files(__name__) / "schema.sql").read_text()


def _migration(file: Traversable) -> Migration:
    version, name = file.name.removesuffix(".sql").split("_", 1)
    return Migration(int(version), name, file.read_text())
