"""The HTTP face: endpoints of several topics, and errors that become problems."""

from uuid import UUID

import pytest
from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError
from operations.endpoints.face import face
from operations.errors import ConflictError, InvalidRequestError, NotFoundError, OperationsError

CALLER = Caller(UUID(int=1), "key", Scope.OPERATOR)


class CountDiffersError(ConflictError):
    """A conflict with a code of its own."""

    code = ApiError.ENDPOINT_LIMIT


async def answer(request: Request, caller: Caller) -> Response:
    return Response(caller.key_id)


def test_topics_share_a_face() -> None:
    """Each topic adds the names of its routes; a name twice is a mistake."""
    assert face({"one": answer}, {"two": answer}).keys() == {"one", "two"}
    with pytest.raises(ValueError, match="same route"):
        face({"one": answer}, {"one": answer})


async def test_a_response_is_passed_on() -> None:
    """What the endpoint returns is the response."""
    response = await face({"one": answer})["one"](Request({"type": "http"}), CALLER)
    assert response.body == b"key"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("It does not exist."), ApiError.NOT_FOUND),
        (InvalidRequestError("It is wrong."), ApiError.INVALID_REQUEST),
        (ConflictError("It can't be done."), ApiError.CONFLICT),
        (CountDiffersError("There are 7."), ApiError.ENDPOINT_LIMIT),
    ],
)
async def test_an_error_is_answered_with_its_code(error: OperationsError, code: ApiError) -> None:
    """The message of the use case is the problem's detail."""

    async def fail(request: Request, caller: Caller) -> Response:
        raise error

    with pytest.raises(ProblemError) as caught:
        await face({"one": fail})["one"](Request({"type": "http"}), CALLER)
    assert (caught.value.problem.code, caught.value.problem.detail) == (code, str(error))
