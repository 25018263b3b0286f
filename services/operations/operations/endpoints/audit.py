"""The audit log over HTTP."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import decode_query
from chassis.http import Endpoint, reply
from chassis.postgres import Database
from darkroom_contracts.api.audit import AuditQuery
from operations.audit.reading import read_audit
from operations.endpoints.face import NO_STORE


class AuditEndpoints:
    """Answers the route of the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {"read_audit": self.read}

    async def read(self, request: Request, caller: Caller) -> Response:
        """Return a page of the log."""
        query = decode_query(request.query_params.multi_items(), AuditQuery)
        return reply(await read_audit(self._database, query), headers=NO_STORE)
