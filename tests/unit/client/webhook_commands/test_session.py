import pytest

from tests.unit.client.answers import Script, problem
from tests.unit.client.webhook_answers import DELIVERY_ID, ENDPOINT_ID
from tests.unit.client.webhook_commands.runner import Commands

DISABLED = "The endpoint is disabled. `darkroom webhooks endpoints resume ENDPOINT` enables one that is disabled."


def disabled() -> Script:
    return Script(problem(409, "endpoint_inactive", "The endpoint is disabled."))


@pytest.mark.parametrize("arguments", [("endpoints", "test", ENDPOINT_ID), ("recover", ENDPOINT_ID, "--since", "1h")])
def test_a_refusal_names_the_command_that_helps(webhooks: Commands, arguments: tuple[object, ...]) -> None:
    """What the API says stays, and the command is added."""
    result = webhooks.run(disabled(), *arguments)
    assert (result.exit_code, result.stderr) == (1, f"Error: {DISABLED}\n")


def test_each_refused_delivery_has_its_remedy(webhooks: Commands) -> None:
    """The refusal of one of several deliveries is explained too."""
    result = webhooks.run(disabled(), "redeliver", DELIVERY_ID)
    assert f"Delivery {DELIVERY_ID} is not sent again: {DISABLED}\n" in result.stderr


def test_the_implicit_endpoint_can_be_paused_instead(webhooks: Commands) -> None:
    """It can't be deleted."""
    script = Script(problem(409, "implicit_endpoint", "The implicit endpoint can't be deleted."))
    result = webhooks.run(script, "endpoints", "delete", "implicit", "--yes")
    assert "`darkroom webhooks endpoints pause implicit` keeps its deliveries." in result.stderr
