import json

import pytest

from darkroom.webhook_commands import testing
from darkroom_contracts.states import EndpointStatus
from tests.unit.client.answers import Script, reply
from tests.unit.client.webhook_answers import (
    DELIVERY_ID,
    ENDPOINT_ID,
    detail,
    endpoint_with_secret,
    refused,
    succeeded,
)
from tests.unit.client.webhook_commands.runner import Commands

SENT = {"delivery_id": DELIVERY_ID}


def test_an_accepted_test_event_is_reported(webhooks: Commands) -> None:
    """With the receiver's status and how long it took."""
    script = Script(reply(SENT, 202), reply(endpoint_with_secret()), reply(detail()), reply(succeeded()))
    result = webhooks.run(script, "endpoints", "test", ENDPOINT_ID)
    assert (result.exit_code, result.stdout) == (
        0,
        f"The receiver accepted delivery {DELIVERY_ID}: HTTP 204 after 3.5 ms.\n",
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_test_event_that_failed_fails_the_command(webhooks: Commands, options: tuple[str, ...]) -> None:
    """The error has the reason and when it is tried again; programs get the delivery too."""
    script = Script(reply(SENT, 202), reply(endpoint_with_secret()), reply(detail(refused())))
    result = webhooks.run(script, "endpoints", "test", ENDPOINT_ID, *options)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: Delivery {DELIVERY_ID} failed: HTTP 503 from the receiver. The next attempt is due at 12:00:05Z.\n"
    )
    assert bool(result.stdout) == bool(options)
    assert not options or json.loads(result.stdout)["failures"] == 1


def test_a_paused_endpoint_is_not_waited_for(webhooks: Commands) -> None:
    """The error names the command that sends the event."""
    script = Script(reply(SENT, 202), reply(endpoint_with_secret(status=EndpointStatus.PAUSED)))
    result = webhooks.run(script, "endpoints", "test", ENDPOINT_ID)
    assert (result.exit_code, f"`darkroom webhooks endpoints resume {ENDPOINT_ID}` sends it" in result.stderr) == (
        1,
        True,
    )


def test_waiting_is_bounded(webhooks: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that is still under way after that can be followed."""
    monkeypatch.setattr(testing, "WAIT_SECONDS", 0.0)
    script = Script(reply(SENT, 202), reply(endpoint_with_secret()), reply(detail(in_flight=True)))
    result = webhooks.run(script, "endpoints", "test", ENDPOINT_ID)
    assert (result.exit_code, f"`darkroom webhooks deliveries show {DELIVERY_ID}`" in result.stderr) == (1, True)
