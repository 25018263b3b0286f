import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from darkroom.webhook_commands import listening
from tests.support.webhooks import OTHER_SECRET, SECRET
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.webhook_answers import ENDPOINT_ID, endpoint_with_secret
from tests.unit.client.webhook_commands.runner import Commands


class Stopped:
    """A listener that ends at once."""

    url = "http://127.0.0.1:1/"
    failure = None

    def serve_forever(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return the secrets that listeners are opened with."""
    used: list[str | None] = []

    @contextmanager
    def opened(host: str, port: int, secret: str | None, *more: Any) -> Iterator[Stopped]:
        used.append(secret)
        yield Stopped()

    monkeypatch.setattr(listening, "_listener", opened)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    return used


@pytest.mark.parametrize(("options", "name"), [((), "implicit"), (("--endpoint", ENDPOINT_ID), str(ENDPOINT_ID))])
def test_the_secret_comes_from_the_api(
    webhooks: Commands, secrets: list[str | None], options: tuple[object, ...], name: str
) -> None:
    """From the implicit endpoint where none is named; which one it is is printed, the secret is not."""
    script = Script(reply(endpoint_with_secret()))
    result = webhooks.run(script, "listen", "--port", 0, *options)
    assert (secrets, script.requests[0].url.path) == ([SECRET], f"/v1/webhook-endpoints/{name}")
    assert f"secret of the endpoint {name};" in result.stderr
    assert SECRET not in result.output


def test_a_given_secret_comes_first(
    webhooks: Commands, secrets: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option wins, then an endpoint, then the variable; none of them but the endpoint asks the API."""
    monkeypatch.setenv("DARKROOM_WEBHOOK_SECRET", OTHER_SECRET)
    webhooks.run(Script(), "listen", "--port", 0, "--secret", SECRET)
    webhooks.run(Script(reply(endpoint_with_secret())), "listen", "--port", 0, "--endpoint", "implicit")
    webhooks.run(Script(), "listen", "--port", 0)
    assert secrets == [SECRET, SECRET, OTHER_SECRET]


def test_without_secret_and_api_nothing_is_verified(
    webhooks: Commands, secrets: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command needs neither."""
    monkeypatch.delenv("DARKROOM_API_KEY")
    webhooks.run(Script(), "listen", "--port", 0)
    assert secrets == [None]


def test_a_secret_and_an_endpoint_exclude_each_other(webhooks: Commands, secrets: list[str | None]) -> None:
    """The error says so."""
    result = webhooks.run(Script(), "listen", "--port", 0, "--secret", SECRET, "--endpoint", "implicit")
    assert (result.exit_code, "--secret and --endpoint exclude each other" in result.stderr) == (1, True)


def test_a_refusal_of_the_api_ends_the_command(webhooks: Commands, secrets: list[str | None]) -> None:
    """It does not listen without verifying."""
    script = Script(problem(401, "unauthenticated", "The API key is not valid."))
    result = webhooks.run(script, "listen", "--port", 0)
    assert (result.exit_code, secrets) == (1, [])
    assert "The API key is not valid." in result.stderr
