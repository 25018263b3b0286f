"""Lists of endpoints, deliveries and attempts in terminals and in pipes, whatever text others gave them."""

from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len

from darkroom.desk_commands import rows
from darkroom_contracts.api.webhook_deliveries import WebhookDeliveryList
from darkroom_contracts.api.webhook_endpoints import WebhookEndpointList
from tests.unit.client.answers import Script, reply
from tests.unit.client.webhook_answers import DELIVERY_ID, delivery, detail, endpoint, refused
from tests.unit.client.webhook_commands.runner import Commands

LONG = "W" * 2000
URL = f"https://example.com/{LONG}"
LISTS: dict[tuple[Any, ...], Any] = {
    ("endpoints", "list"): WebhookEndpointList([endpoint(url=URL, description=LONG), endpoint()]),
    ("deliveries", "list"): WebhookDeliveryList([delivery(refused(error=LONG)), delivery()]),
    ("deliveries", "show", DELIVERY_ID): detail(refused(1, error=LONG)),
}


def shown(webhooks: Commands, arguments: Sequence[Any]) -> list[str]:
    result = webhooks.run(Script(reply(LISTS[tuple(arguments)])), *arguments)
    assert result.exit_code == 0
    return result.stdout.splitlines()


@pytest.mark.parametrize("arguments", [("endpoints", "list"), ("deliveries", "list")])
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_long_text_breaks_no_list(
    webhooks: Commands, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], columns: int
) -> None:
    """No line is wider than the terminal, no entry has more than two lines, and ids are whole."""
    monkeypatch.setattr(rows, "width", lambda: columns)
    lines = shown(webhooks, arguments)
    assert max(map(cell_len, lines)) <= columns
    assert len(lines) <= 1 + 2 * 2
    assert sum(line.count("-") >= 4 for line in lines) >= 2


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_error_of_an_attempt_is_whole(webhooks: Commands, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """It is wrapped below its attempt, beside the times that a narrow terminal has no columns for."""
    monkeypatch.setattr(rows, "width", lambda: columns)
    lines = shown(webhooks, ("deliveries", "show", DELIVERY_ID))
    begin = next(number for number, line in enumerate(lines) if line.startswith("attempt "))
    assert max(map(cell_len, lines[begin : begin + 3])) <= columns
    assert "".join(lines[begin:]).count("W") == len(LONG)
    assert "first byte" in "".join(lines[begin:])


@pytest.mark.parametrize("arguments", [("endpoints", "list"), ("deliveries", "list")])
def test_a_pipe_gets_one_whole_line_for_each(webhooks: Commands, arguments: tuple[Any, ...]) -> None:
    """Programs such as grep work by lines."""
    lines = shown(webhooks, arguments)
    assert len(lines) == 3
    assert LONG in lines[1]
