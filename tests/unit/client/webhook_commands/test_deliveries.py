import json
from datetime import timedelta

import pytest

from darkroom_contracts.api.webhook_deliveries import WebhookDeliveryList
from darkroom_contracts.states import DeliveryStatus
from tests.unit.client.answers import JOB_ID, Script, reply
from tests.unit.client.webhook_answers import AT, DELIVERY_ID, accepted, delivery, detail, refused
from tests.unit.client.webhook_commands.runner import Commands


def test_a_list_says_how_the_latest_attempt_ended(webhooks: Commands) -> None:
    """An error in words, a status, an attempt that is under way, or none yet."""
    found = [delivery(refused()), delivery(accepted()), delivery(in_flight=True), delivery()]
    shown = webhooks.run(Script(reply(WebhookDeliveryList(found))), "deliveries", "list").stdout
    failed, succeeded, flying, waiting = (line.rstrip().split("  ") for line in shown.splitlines()[1:])
    assert (failed[0], failed[-1].strip()) == (str(DELIVERY_ID), "HTTP 503 from the receiver.")
    assert succeeded[-1].strip() == "HTTP 204"
    assert "in flight" in [cell.strip() for cell in flying]
    assert [cell.strip() for cell in waiting][-1] == "not tried yet"


def test_filters_reach_the_request(webhooks: Commands) -> None:
    """Every option is a parameter of the query."""
    script = Script(reply(WebhookDeliveryList([])))
    filters = ("--job", JOB_ID, "--endpoint", "implicit", "--status", "failed", "--event", "job.failed")
    result = webhooks.run(script, "deliveries", "list", *filters)
    assert result.stdout == "There are no such deliveries.\n"
    query = dict(script.requests[0].url.params)
    assert (query["job"], query["endpoint"], query["status"]) == (str(JOB_ID), "implicit", "failed")
    assert (query["event"], query["audience"]) == ("job.failed", "client")


def test_a_limit_ends_the_list(webhooks: Commands) -> None:
    """Pages are requested until the limit is reached, and no further."""
    script = Script(*(reply(WebhookDeliveryList([delivery()] * 100, "next")) for _ in range(2)))
    shown = webhooks.run(script, "deliveries", "list", "--limit", 150, "--json").stdout
    assert len(json.loads(shown)) == 150


@pytest.mark.parametrize(("limit", "words"), [(99, "These are the newest 99; --limit shows more"), (100, "")])
def test_a_list_that_is_not_whole_says_so(webhooks: Commands, limit: int, words: str) -> None:
    """Otherwise the oldest delivery shown would seem to be the first."""
    script = Script(reply(WebhookDeliveryList([delivery()] * 100)))
    result = webhooks.run(script, "deliveries", "list", "--limit", limit)
    assert (len(result.stdout.splitlines()), result.stderr[: len(words)]) == (limit + 1, words)
    assert bool(result.stderr) is bool(words)


def test_operators_list_the_deliveries_of_their_endpoints(webhooks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--operator` names the audience."""
    monkeypatch.setenv("DARKROOM_OPERATOR_KEY", "dk_operator_key")
    script = Script(reply(WebhookDeliveryList([])))
    webhooks.run(script, "deliveries", "list", "--operator")
    assert dict(script.requests[0].url.params)["audience"] == "operator"


def test_a_delivery_is_shown_with_its_attempts_and_its_body(webhooks: Commands) -> None:
    """Each attempt has its times and why it failed; the body is indented for people."""
    found = detail(refused(1), accepted(2), body='{"type":"job.succeeded"}', status=DeliveryStatus.SUCCEEDED)
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID).stdout
    assert f"{JOB_ID} version 3" in shown
    assert "2, 1 failed\n" in shown
    first, second = (line for line in shown.splitlines() if line.startswith(("1 ", "2 ")))
    assert first.split()[-6:] == ["7.0", "HTTP", "503", "from", "the", "receiver."]
    assert second.split()[-5:] == ["0.5", "1.2", "-", "3.0", "3.5"]
    assert '"type": "job.succeeded"' in shown


def test_failures_are_counted_from_a_redelivery(webhooks: Commands) -> None:
    """Attempts before it are not failures of the present schedule."""
    found = detail(refused(), failures=0, scheduled_at=AT + timedelta(hours=1))
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID).stdout
    assert "1, 0 failed since it was sent again at 2026-11-21 13:00:00Z" in shown


def test_a_dead_letter_says_who_can_replay_it(webhooks: Commands) -> None:
    """A delivery that failed for good names the ways to send it again."""
    found = detail(refused(), status=DeliveryStatus.FAILED, dead_lettered=True)
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID).stdout
    assert f"`darkroom webhooks redeliver {DELIVERY_ID}`" in shown


def test_a_new_delivery_is_shown_without_attempts(webhooks: Commands) -> None:
    """It has no body yet, and no job where the event is not a job's."""
    found = detail(job_id=None, job_version=None)
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID).stdout
    assert ("body" in shown, "next attempt" in shown) == (False, True)


def test_programs_get_the_exact_body(webhooks: Commands) -> None:
    """`--json` prints the delivery as the API returns it."""
    found = detail(accepted(), body='{"a":1}')
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID, "--json").stdout
    assert json.loads(shown)["body"] == '{"a":1}'


def test_control_characters_reach_no_terminal(webhooks: Commands) -> None:
    """What comes from receivers and jobs is printable."""
    found = detail(refused(error="bad \x1b[31m certificate"), body='{"a":"\\u001b"}')
    shown = webhooks.run(Script(reply(found)), "deliveries", "show", DELIVERY_ID).stdout
    assert "\x1b" not in shown
