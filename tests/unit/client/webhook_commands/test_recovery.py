import json
from datetime import timedelta

import httpx2
import pytest

from darkroom_contracts.api.webhook_deliveries import RecoverReply
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.webhook_answers import AT, DELIVERY_ID, ENDPOINT_ID, delivery
from tests.unit.client.webhook_commands.runner import Commands

SINCE = ("--since", "2026-11-21T12:00Z")
LATER = AT + timedelta(hours=1)


def bodies(script: Script) -> list[dict[str, str]]:
    return [json.loads(request.content) for request in script.requests]


def test_each_delivery_is_sent_again(webhooks: Commands) -> None:
    """Each line says how to follow it."""
    script = Script(*(reply(delivery(), 202) for _ in range(2)))
    result = webhooks.run(script, "redeliver", DELIVERY_ID, DELIVERY_ID)
    assert (result.exit_code, len(script.requests)) == (0, 2)
    assert result.stdout.count(f"`darkroom webhooks deliveries show {DELIVERY_ID}`") == 2


def test_a_refused_delivery_does_not_stop_the_others(webhooks: Commands) -> None:
    """The command fails at the end, with each refusal and its id."""
    script = Script(problem(409, "delivery_in_flight", "An attempt is in flight."), reply(delivery(), 202))
    result = webhooks.run(script, "redeliver", ENDPOINT_ID, DELIVERY_ID, "--json")
    assert (result.exit_code, [item["id"] for item in json.loads(result.stdout)]) == (1, [str(DELIVERY_ID)])
    assert result.stderr == f"Error: Delivery {ENDPOINT_ID} is not sent again: An attempt is in flight.\n"


def test_all_failed_deliveries_of_an_endpoint_are_sent_again(webhooks: Commands) -> None:
    """As a recovery since the beginning."""
    script = Script(reply(RecoverReply(redelivered=12, kept_since=AT)))
    result = webhooks.run(script, "redeliver", "--endpoint", "implicit", "--failed")
    assert (result.stdout, result.stderr) == ("12 deliveries are due again.\n", "")
    assert bodies(script) == [{"since": "1970-01-01T00:00:00Z", "include": "failed"}]


@pytest.mark.parametrize(
    "arguments",
    [(), ("--failed",), ("--endpoint", "implicit"), (DELIVERY_ID, "--endpoint", "implicit"), (DELIVERY_ID, "--failed")],
)
def test_what_to_send_again_must_be_clear(webhooks: Commands, arguments: tuple[object, ...]) -> None:
    """Either IDs, or all failed ones of an endpoint."""
    result = webhooks.run(Script(), "redeliver", *arguments)
    assert (result.exit_code, "Give the IDs of deliveries, or --endpoint ENDPOINT --failed" in result.stderr) == (
        1,
        True,
    )


def test_a_recovery_counts_over_its_pages(webhooks: Commands) -> None:
    """The total is printed once all pages are done, and where the log begins if that is later."""
    script = Script(
        reply(RecoverReply(redelivered=1, next_since=LATER, kept_since=LATER)), reply(RecoverReply(redelivered=0))
    )
    result = webhooks.run(script, "recover", ENDPOINT_ID, *SINCE, "--all")
    assert result.stdout == "1 delivery is due again.\n"
    assert result.stderr == "The endpoint's log begins at 2026-11-21 13:00:00Z.\n"
    assert [body["include"] for body in bodies(script)] == ["all", "all"]


def test_programs_get_the_result_of_a_recovery(webhooks: Commands) -> None:
    """`--json` prints the total."""
    script = Script(reply(RecoverReply(redelivered=3, kept_since=AT)))
    shown = webhooks.run(script, "recover", ENDPOINT_ID, *SINCE, "--json").stdout
    assert json.loads(shown) == {"redelivered": 3, "next_since": None, "kept_since": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    ("end", "reason"),
    [(KeyboardInterrupt(), "Stopped."), (problem(404, "not_found", "It was deleted."), "It was deleted.")],
)
def test_an_interrupted_recovery_says_how_to_continue(
    webhooks: Commands, end: httpx2.Response | BaseException, reason: str
) -> None:
    """With what was done so far, and the command that does the rest."""
    script = Script(reply(RecoverReply(redelivered=10_000, next_since=LATER)), end)
    result = webhooks.run(script, "recover", ENDPOINT_ID, *SINCE, "--all")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {reason} 10,000 deliveries are due again so far; `darkroom webhooks recover {ENDPOINT_ID} --since"
        " 2026-11-21T13:00:00+00:00 --all` continues.\n"
    )


def test_a_recovery_that_never_began_is_its_error_alone(webhooks: Commands) -> None:
    """There is nothing to continue."""
    script = Script(problem(404, "not_found", "There is no such endpoint."))
    result = webhooks.run(script, "recover", ENDPOINT_ID, *SINCE)
    assert (result.exit_code, result.stderr) == (1, "Error: There is no such endpoint.\n")


def test_a_line_shows_how_far_a_recovery_is(webhooks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it changes with every page."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    script = Script(reply(RecoverReply(redelivered=10_000, next_since=LATER)), reply(RecoverReply(redelivered=1)))
    result = webhooks.run(script, "recover", ENDPOINT_ID, *SINCE)
    assert result.stdout == "10,001 deliveries are due again.\n"
    assert "10,001 deliveries are due again" in result.stderr
