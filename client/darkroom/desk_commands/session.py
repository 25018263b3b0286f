"""The API as the commands of the desk use it: with the operator's key; refusals name the command that helps."""

from collections.abc import Iterator
from contextlib import contextmanager

from darkroom.client import Client
from darkroom.commands import OPERATOR_KEY, connected
from darkroom.console import CommandError
from darkroom.desk.replays import is_outcome_unknown
from darkroom.errors import ApiError, DarkroomError
from darkroom_contracts.errors import ApiError as Code

_HELP: dict[str, str] = {
    Code.UNAUTHENTICATED: f"Set {OPERATOR_KEY} to a key of `darkroom keys create --scope operator`.",
    Code.FORBIDDEN: f"{OPERATOR_KEY} must be an operator's; an observer's only looks. `darkroom keys list` shows them.",
}


@contextmanager
def desk_api(**remedies: str) -> Iterator[Client]:
    """Yield a client with DARKROOM_OPERATOR_KEY. A refusal with a known remedy is raised with it, as CommandError.

    `remedies` has what else helps, by the code of the refusal: `desk_api(not_found="`darkroom replays list` ...")`.
    """
    with connected(operator=True) as client:
        try:
            yield client
        except ApiError as error:
            raise CommandError(explained(error, **remedies)) from error


@contextmanager
def unknown_outcome(advice: str) -> Iterator[None]:
    """Raise CommandError, with advice, for an error after which the request was possibly carried out."""
    try:
        yield
    except DarkroomError as error:
        if not is_outcome_unknown(error):
            raise
        raise CommandError(f"{error} {advice}") from error


def explained(error: ApiError, **remedies: str) -> str:
    """Return the refusal, and the command that helps if there is one."""
    remedy = (_HELP | remedies).get(error.problem.code)
    return f"{error} {remedy}" if remedy and "`darkroom " not in str(error) else str(error)
