from collections.abc import Callable
from datetime import UTC, datetime

import click
import pytest

from darkroom.desk_commands.queue_views import print_queues
from darkroom_contracts.api.queues import Pause
from tests.unit.client.desk_answers import queue, queues


@pytest.mark.parametrize("columns", [80, 160])
def test_the_way_out_of_a_pause_is_never_cut_off(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """A long reason is wrapped, and no line is wider than the terminal."""
    at_terminal(columns)
    pause = Pause(datetime.now(UTC), "oP3rat0r0001", "new weights " * 12)
    print_queues(queues(queue(paused=pause), queue("large")))
    shown = click.unstyle(capsys.readouterr().out)
    assert max(map(len, shown.splitlines())) <= columns
    assert "`darkroom queues resume tiny` resumes it" in " ".join(shown.split())
