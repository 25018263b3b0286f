import json

import pytest

from tests.support.webhooks import SECRET
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.webhook_answers import AT, ENDPOINT_ID, endpoint_with_secret
from tests.unit.client.webhook_commands.runner import Commands


@pytest.mark.parametrize("act", ["show", "rotate"])
def test_stdout_has_the_secret_alone(webhooks: Commands, act: str) -> None:
    """A shell can assign it; when the previous one ends is on stderr."""
    script = Script(reply(endpoint_with_secret(previous_secret_until=AT)))
    result = webhooks.run(script, "secret", act, "implicit")
    assert (result.stdout, result.stderr) == (
        f"{SECRET}\n",
        "The previous one signs too until 2026-11-21 12:00:00Z.\n",
    )


@pytest.mark.parametrize("act", ["show", "rotate"])
def test_the_public_key_can_be_printed_instead(webhooks: Commands, act: str) -> None:
    """For receivers that must not be able to sign."""
    script = Script(reply(endpoint_with_secret(public_key="whpk_x")))
    assert webhooks.run(script, "secret", act, ENDPOINT_ID, "--public-key").stdout == "whpk_x\n"


def test_an_endpoint_without_a_key_pair_says_how_to_get_one(webhooks: Commands) -> None:
    """Nothing is printed on stdout."""
    result = webhooks.run(Script(reply(endpoint_with_secret())), "secret", "show", ENDPOINT_ID, "--public-key")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"`darkroom webhooks endpoints update {ENDPOINT_ID} --ed25519` adds one" in result.stderr


def test_programs_get_both_keys(webhooks: Commands) -> None:
    """`--json` prints the secret, the public key and when the previous secret ends."""
    script = Script(reply(endpoint_with_secret(public_key="whpk_x", previous_secret_until=AT)))
    assert json.loads(webhooks.run(script, "secret", "show", "implicit", "--json").stdout) == {
        "endpoint_id": str(ENDPOINT_ID),
        "secret": SECRET,
        "public_key": "whpk_x",
        "previous_secret_until": "2026-11-21T12:00:00Z",
    }


def test_a_second_rotation_is_refused_with_the_ways_out(webhooks: Commands) -> None:
    """It would end the secret that receivers may still use."""
    script = Script(problem(409, "rotation_under_way", "A rotation is under way until 12:00."))
    result = webhooks.run(script, "secret", "rotate", ENDPOINT_ID)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The secret was rotated less than 24 hours ago; `darkroom webhooks secret show"
        f" {ENDPOINT_ID}` prints it, and --end-previous rotates again, which ends the secret before it at once.\n"
    )


def test_a_second_rotation_can_be_forced(webhooks: Commands) -> None:
    """The option is a parameter of the request."""
    script = Script(reply(endpoint_with_secret()))
    webhooks.run(script, "secret", "rotate", ENDPOINT_ID, "--end-previous")
    assert script.requests[0].url.query == b"end_previous=true"


def test_another_refusal_is_printed_as_it_is(webhooks: Commands) -> None:
    """Only a rotation that is under way has an explanation of its own."""
    result = webhooks.run(
        Script(problem(404, "not_found", "There is no such endpoint.")), "secret", "rotate", ENDPOINT_ID
    )
    assert (result.exit_code, result.stderr) == (1, "Error: There is no such endpoint.\n")
