"""docs/webhooks.md, held to the code."""

import re
from pathlib import Path

import msgspec

from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.support.webhooks import BODY
from webhooks.dispatch.schedule import JITTER, PAUSES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECONDS = {"s": 1, "min": 60, "h": 3600}


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.+?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found is not None, heading
    return found[1]


def first_column(text: str) -> list[str]:
    """Return the first cells of a table, without its head."""
    return re.findall(r"^\| `?([^`|]+?)`? \|", text, re.MULTILINE)[2:]


def test_the_example_is_what_the_encoder_writes() -> None:
    """The payload that the page shows is an event's encoding, indented."""
    example = re.search(r"```json\n(.+?)```", section("Payload"), re.DOTALL)
    assert example is not None
    assert example[1] == msgspec.json.format(BODY, indent=2).decode() + "\n"


def test_every_type_of_event_is_described() -> None:
    """The table has the types that can be asked for, and no others."""
    assert sorted(first_column(DOCUMENT.partition("\n## ")[0])) == sorted(WebhookEvent)


def test_the_headers_are_those_that_are_signed() -> None:
    """The table has the three headers of Standard Webhooks, and the type of the body."""
    assert first_column(section("Headers")) == [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER, "content-type"]


def test_the_schedule_is_the_sender_s() -> None:
    """The table has a row for each attempt, and the text names how far pauses vary and how long all take."""
    rows = re.findall(r"^\| (\d+) \| (\d+) (\w+) \|", section("Retries"), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(2, len(PAUSES) + 2))
    assert tuple(int(count) * SECONDS[unit] for _, count, unit in rows) == PAUSES
    assert f"varies by up to {JITTER:.0%}".replace("%", " %") in section("Retries")
    assert f"{sum(PAUSES) / 3600:.1f} hours" in section("Retries")
