"""Finding an endpoint for a caller: one of others is answered like an unknown one."""

import re
from uuid import UUID

from chassis.auth import Caller
from chassis.postgres import Connection
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import IMPLICIT
from darkroom_contracts.states import EndpointAudience
from webhooks.registry import store
from webhooks.registry.records import Endpoint

_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def find_endpoint(connection: Connection, caller: Caller, reference: str) -> Endpoint:
    """Return the endpoint of an id, or of `implicit`. Raises ProblemError, 404."""
    found = await store.find_endpoint(connection, _id(reference), caller.tenant_id, operator=is_operator(caller))
    return _existing(found)


async def lock_endpoint(connection: Connection, caller: Caller, reference: str) -> Endpoint:
    """Lock the endpoint until the transaction ends, and return it as `find_endpoint` does. Raises ProblemError, 404."""
    found = await find_endpoint(connection, caller, reference)
    return _existing(await store.lock_endpoint(connection, found.id))


def owner_of(audience: EndpointAudience, caller: Caller) -> UUID | None:
    """Return the tenant whose endpoints the caller asks for, or None for the operators. Raises ProblemError, 403."""
    if audience is EndpointAudience.CLIENT:
        return caller.tenant_id
    if not is_operator(caller):
        raise ProblemError(
            ApiError.FORBIDDEN, "The operators' endpoints need an operator's key. Use another key or audience."
        )
    return None


def is_operator(caller: Caller) -> bool:
    """Return whether the caller also sees the operators' endpoints."""
    return caller.may(Scope.OPERATOR)


def _id(reference: str) -> UUID | None:
    if reference == IMPLICIT:
        return None
    if not _ID.fullmatch(reference):
        raise _unknown()
    return UUID(reference)


def _existing(endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise _unknown()
    return endpoint


def _unknown() -> ProblemError:
    return ProblemError(ApiError.NOT_FOUND, "There is no such webhook endpoint. `GET /v1/webhook-endpoints` lists all.")
