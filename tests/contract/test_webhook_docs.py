"""docs/webhooks.md, held to the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from chassis.targets import Policy, TargetRefusedError, parse_target
from darkroom.cli import main
from darkroom.webhook_commands import webhooks
from darkroom_contracts.api.webhook_endpoints import MAX_ENDPOINTS, MAX_HEADER_BYTES, MAX_HEADERS
from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.support.webhooks import BODY
from webhooks.dispatch.schedule import JITTER, PAUSES
from webhooks.settings import RateSettings

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


def test_the_urls_that_it_calls_refused_are_refused() -> None:
    """Each spelling of an address that the section shows."""
    shown = re.findall(r"`([][0-9a-fx.:]+)`", section("URLs"))
    assert len(shown) == 4
    for address in shown:
        with pytest.raises(TargetRefusedError):
            parse_target(f"https://{address}/", Policy())


def test_the_schedule_is_the_sender_s() -> None:
    """The table has a row for each attempt, and the text names how far pauses vary and how long all take."""
    rows = re.findall(r"^\| (\d+) \| (\d+) (\w+) \|", section("Retries"), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(2, len(PAUSES) + 2))
    assert tuple(int(count) * SECONDS[unit] for _, count, unit in rows) == PAUSES
    assert f"varies by up to {JITTER:.0%}".replace("%", " %") in section("Retries")
    assert f"{sum(PAUSES) / 3600:.1f} hours" in section("Retries")


def commands() -> list[list[str]]:
    """Return the arguments of every `darkroom` command in the page's blocks and sentences."""
    blocks = "\n".join(re.findall(r"```sh\n(.+?)```", DOCUMENT, re.DOTALL))
    inline = re.findall(r"`(darkroom [^`]+)`", DOCUMENT)
    lines = [*re.findall(r"\bdarkroom .+?(?=\)?$)", blocks, re.MULTILINE), *inline]
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_the_commands_exist(arguments: list[str]) -> None:
    """Every command that the page shows exists, and has the options that it shows."""
    command: click.Command = main
    rest = list(arguments)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None
        command = found
    options = {option for param in command.params for option in param.opts}
    assert {argument for argument in rest if argument.startswith("-")} <= options


def test_the_options_that_it_names_exist() -> None:
    """Options in its sentences belong to a command of webhooks."""
    named = set(re.findall(r"`(?:\w+ )*(--[a-z0-9-]+)", DOCUMENT))
    assert named
    assert named <= {option for command in every(webhooks) for param in command.params for option in param.opts}


def every(command: click.Command) -> Iterator[click.Command]:
    """Yield a command and those below it."""
    yield command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from every(below)


def test_the_receivers_limits_are_those_of_the_code() -> None:
    """The page names the numbers of endpoints, headers, creations and tests that hold."""
    assert f"A tenant can have {MAX_ENDPOINTS}." in DOCUMENT
    assert f"Up to {MAX_HEADERS} headers with {MAX_HEADER_BYTES:,} bytes" in DOCUMENT
    rates, text = RateSettings(), " ".join(DOCUMENT.split())
    assert f"A tenant can create {rates.webhooks_creations_per_hour} endpoints an hour" in text
    assert f"send {rates.webhooks_tests_per_hour} test events" in text
    assert f"send {rates.webhooks_redeliveries_per_hour:,} single deliveries again" in text
    assert f"make {rates.webhooks_recoveries_per_hour} recoveries" in text
