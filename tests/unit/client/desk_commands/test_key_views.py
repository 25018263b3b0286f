from collections.abc import Callable

import click
import pytest

from darkroom.desk_commands.key_views import print_keys
from darkroom_contracts.api.keys import KeyStatus
from tests.unit.client.desk_answers import KEY_ID, key


@pytest.mark.parametrize("columns", [80, 160])
def test_no_column_is_cut_off(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """A narrow terminal has tenant and name below."""
    at_terminal(columns)
    print_keys([key(status=KeyStatus.REVOKED, cancels_jobs=True, tenant="a-tenant-with-a-rather-long-name")])
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)
    assert "last used" in lines[0]
    if columns == 80:
        assert lines[2] == "  tenant a-tenant-with-a-rather-long-name: web shop"
    else:
        assert lines[1].startswith(f"{KEY_ID}  client  a-tenant-with-a-rather-long-name  revoked, canceling")
