from io import BytesIO

import pytest

from darkroom.console import CommandError
from darkroom.webhook_commands.headers import MAX_FILE_BYTES, headers_of
from tests.unit.client.answers import Script, reply
from tests.unit.client.webhook_answers import URL, endpoint_with_secret
from tests.unit.client.webhook_commands.runner import Commands


def in_file(content: bytes) -> BytesIO:
    file = BytesIO(content)
    file.name = "headers.txt"
    return file


def test_all_sources_are_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, environment variables and the lines of a file; blank lines are skipped, and colons stay in values."""
    monkeypatch.setenv("TOKEN", "secret")
    file = in_file(b"Authorization: Bearer a:b\r\n\nX-Shop:7\n")
    assert headers_of(given=(("X-A", "1"),), variables=(("X-B", "TOKEN"),), file=file) == {
        "X-A": "1",
        "X-B": "secret",
        "Authorization": "Bearer a:b",
        "X-Shop": "7",
    }


def test_a_header_from_stdin_is_in_no_history(webhooks: Commands) -> None:
    """`--header-file -` reads the lines from stdin."""
    script = Script(reply(endpoint_with_secret(), 201))
    webhooks.run(script, "endpoints", "create", URL, "--header-file", "-", stdin="X-Key: secret\n")
    assert b'"headers":{"X-Key":"secret"}' in script.requests[0].content


@pytest.mark.parametrize(
    ("given", "variables", "content", "message"),
    [
        ((("X-A", "secret"), ("x-a", "secret")), (), b"", "The header x-a is given twice"),
        ((), (("X-A", "ABSENT"),), b"", "environment variable ABSENT is not set"),
        ((), (), b"X-A: secret\nsecret\n", "line 2 of headers.txt is not NAME: VALUE"),
        ((), (), b": secret\n", "line 1 of headers.txt is not NAME: VALUE"),
        ((), (), b"secret" * MAX_FILE_BYTES, "headers.txt is too large"),
    ],
)
def test_a_mistake_is_named_without_the_value(
    given: tuple[tuple[str, str], ...], variables: tuple[tuple[str, str], ...], content: bytes, message: str
) -> None:
    """The error says which header, variable or line to correct, and quotes no value."""
    with pytest.raises(CommandError, match=message) as raised:
        headers_of(given, variables, in_file(content))
    assert "secret" not in str(raised.value)
