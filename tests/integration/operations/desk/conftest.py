"""Letters in the database of a test."""

import asyncpg
import pytest

from tests.integration.operations.desk_letters import DeskLetters


@pytest.fixture
def letters(rows: asyncpg.Connection) -> DeskLetters:
    """Return a factory of letters."""
    return DeskLetters(rows)
