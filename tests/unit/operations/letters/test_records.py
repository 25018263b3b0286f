import re

import pytest

from darkroom_contracts.schema import snapshot
from darkroom_contracts.states import AttemptOutcome, LetterKind, LetterStatus


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("dead_letters", "kind", LetterKind),
        ("dead_letters", "status", LetterStatus),
        ("attempts", "outcome", AttemptOutcome),
    ],
)
def test_each_enum_has_the_values_that_its_column_allows(
    table: str, column: str, values: type[LetterKind | LetterStatus | AttemptOutcome]
) -> None:
    """The CHECK constraints of the schema and the enums list the same values."""
    definition = snapshot().partition(f"CREATE TABLE {table} (")[2].partition("\n);")[0]
    match = re.search(rf"CHECK \({column} IN \(([^)]*)\)\)", definition)
    assert match is not None
    assert {value.strip(" '") for value in match[1].split(",")} == set(values)
