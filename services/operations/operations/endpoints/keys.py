"""API keys over HTTP."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from chassis.postgres import Database
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.keys import ApiKeyQuery, ApiKeyRequest, RevocationRequest, RotationRequest
from operations.endpoints.face import NO_STORE
from operations.keys.lifecycle import create_key, list_keys, revoke_key, rotate_key

_TENANT = "must be the name of a tenant: 1 to 63 small letters, digits and dashes, not a dash first"
_WORDING = {
    "^[a-z0-9]": _TENANT,
    "^[A-Za-z0-9]": "must be the id of a key: letters and digits",
    "x1f": "must hold printable characters only",
}


class KeyEndpoints:
    """Answers the routes of API keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._decode_new = BodyDecoder(ApiKeyRequest, _WORDING)
        self._decode_rotation = BodyDecoder(RotationRequest, _WORDING)
        self._decode_revocation = BodyDecoder(RevocationRequest, _WORDING)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "list_keys": self.list,
            "create_key": self.create,
            "rotate_key": self.rotate,
            "revoke_key": self.revoke,
        }

    async def list(self, request: Request, caller: Caller) -> Response:
        """Return a page of keys."""
        query = decode_query(request.query_params.multi_items(), ApiKeyQuery, _WORDING)
        return reply(await list_keys(self._database, query), headers=NO_STORE)

    async def create(self, request: Request, caller: Caller) -> Response:
        """Create a key."""
        new = self._decode_new(await read_body(request, MAX_BODY_BYTES))
        lifetime = _days(new.expires_in_days)
        made = await create_key(self._database, caller.key_id, new.scope, new.name, new.tenant, lifetime, new.reason)
        return reply(made, 201, NO_STORE)

    async def rotate(self, request: Request, caller: Caller) -> Response:
        """Create the successor of a key."""
        wanted = self._decode_rotation(await read_body(request, MAX_BODY_BYTES))
        made = await rotate_key(
            self._database,
            caller.key_id,
            request.path_params["id"],
            timedelta(hours=wanted.overlap_hours),
            _days(wanted.expires_in_days),
            wanted.reason,
        )
        return reply(made, 201, NO_STORE)

    async def revoke(self, request: Request, caller: Caller) -> Response:
        """Revoke a key."""
        wanted = self._decode_revocation(await read_body(request, MAX_BODY_BYTES))
        revoked = await revoke_key(
            self._database,
            caller.key_id,
            request.path_params["id"],
            cancel_jobs=wanted.cancel_queued,
            reason=wanted.reason,
        )
        return reply(revoked, headers=NO_STORE)


def _days(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)
