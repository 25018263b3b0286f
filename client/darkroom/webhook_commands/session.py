"""The API as the commands of webhooks use it: its refusals name the command that helps."""

from collections.abc import Iterator
from contextlib import contextmanager

from darkroom.client import Client
from darkroom.commands import connected
from darkroom.console import CommandError
from darkroom.errors import ApiError
from darkroom_contracts.errors import ApiError as Code

_HELP: dict[str, str] = {
    Code.ENDPOINT_INACTIVE: "`darkroom webhooks endpoints resume ENDPOINT` enables one that is disabled.",
    Code.ENDPOINT_LIMIT: "`darkroom webhooks endpoints list` shows them.",
    Code.IMPLICIT_ENDPOINT: "`darkroom webhooks endpoints pause implicit` keeps its deliveries.",
}


@contextmanager
def webhook_api(*, operator: bool) -> Iterator[Client]:
    """Yield a client as `connected` does. A refusal with a known remedy is raised with it."""
    with connected(operator=operator) as client:
        try:
            yield client
        except ApiError as error:
            raise CommandError(explained(error)) from error


def explained(error: ApiError) -> str:
    """Return the refusal, and the command that helps if there is one."""
    remedy = _HELP.get(error.problem.code)
    return f"{error} {remedy}" if remedy else str(error)
