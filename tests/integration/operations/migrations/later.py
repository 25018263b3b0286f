"""Migrations for tests, to follow those of this code."""

from darkroom_contracts.schema import OUTSIDE, Migration, migrations

NEXT = len(migrations()) + 1
ADD_COLUMN = Migration(NEXT, "add_column", "ALTER TABLE jobs ADD COLUMN extra integer")
BUILD_INDEX = Migration(
    NEXT, "build_index", f"{OUTSIDE}CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_extra ON jobs (created_at);\n"
)


def known(migration: Migration) -> list[Migration]:
    """Return all migrations of this code and a later one."""
    return [*migrations(), migration]
