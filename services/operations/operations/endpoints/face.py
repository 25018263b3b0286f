"""The HTTP face: the endpoints of all topics, and the one place where the errors of use cases become problems."""

from collections.abc import Mapping
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.http import Endpoint
from chassis.problems import ProblemError
from operations.errors import OperationsError

NO_STORE = {"Cache-Control": "no-store"}
"""Responses hold secrets, and what belongs to tenants."""


def face(*topics: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Return the endpoints of all topics by the names of their routes. An OperationsError is answered with its code.

    Raises ValueError if two topics name one route.
    """
    endpoints = {name: _translated(endpoint) for topic in topics for name, endpoint in topic.items()}
    if len(endpoints) < sum(map(len, topics)):
        raise ValueError("Two topics answer the same route.")
    return endpoints


def _translated(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)
    async def respond(request: Request, caller: Caller) -> Response:
        try:
            return await endpoint(request, caller)
        except OperationsError as error:
            raise ProblemError(error.code, str(error)) from error

    return respond
