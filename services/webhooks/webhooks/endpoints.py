"""The endpoints of the service's HTTP API, which are about webhook endpoints and deliveries."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import BodyDecoder, decode_query
from chassis.http import Endpoint, read_body, reply
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.api.webhook_deliveries import RecoverRequest, WebhookDeliveryQuery
from darkroom_contracts.api.webhook_endpoints import (
    EndpointTestReply,
    RotationQuery,
    WebhookEndpointChange,
    WebhookEndpointQuery,
    WebhookEndpointRequest,
)
from darkroom_contracts.routes import GET_ENDPOINT
from webhooks.history.deliveries import Deliveries
from webhooks.history.recovery import Recovery
from webhooks.history.redelivery import Redelivery
from webhooks.registry.registry import Registry
from webhooks.registry.statistics import Statistics

NO_STORE = {"Cache-Control": "no-store"}
"""Responses hold secrets."""
_WORDING = {
    "^https?": "must be an http or https URL without user, password or spaces",
    "^[A-Za-z0-9_.-]": "has a name that is not 1 to 64 letters, digits, dots, dashes or underscores",
    "^[!#": "has a name that is not a token of letters, digits and !#$%&'*+.^_`|~-",
    "x21-": "has a value that is not of visible ASCII characters with spaces only between them",
}
_QUERY_WORDING = {"matching regex": "must be the id of an endpoint, or `implicit`"}


class Endpoints:
    """Answers the routes of webhooks."""

    def __init__(
        self,
        registry: Registry,
        statistics: Statistics,
        deliveries: Deliveries,
        redeliver: Redelivery,
        recover: Recovery,
    ) -> None:
        self._registry = registry
        self._statistics = statistics
        self._deliveries = deliveries
        self._redeliver = redeliver
        self._recover = recover
        self._decode_new = BodyDecoder(WebhookEndpointRequest, _WORDING)
        self._decode_change = BodyDecoder(WebhookEndpointChange, _WORDING)
        self._decode_recovery = BodyDecoder(RecoverRequest)

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "create_endpoint": self.create,
            "list_endpoints": self.list,
            "get_endpoint": self.get,
            "change_endpoint": self.change,
            "delete_endpoint": self.delete,
            "test_endpoint": self.test,
            "rotate_secret": self.rotate_secret,
            "get_endpoint_stats": self.stats,
            "recover_endpoint": self.recover,
            "list_deliveries": self.list_deliveries,
            "get_delivery": self.get_delivery,
            "redeliver": self.redeliver,
        }

    async def create(self, request: Request, caller: Caller) -> Response:
        """Create a standing endpoint."""
        new = self._decode_new(await read_body(request, MAX_BODY_BYTES))
        created = await self._registry.create(caller, new)
        return reply(created, 201, {"Location": GET_ENDPOINT.template.format(id=created.id), **NO_STORE})

    async def list(self, request: Request, caller: Caller) -> Response:
        """Return the caller's endpoints."""
        query = decode_query(request.query_params.multi_items(), WebhookEndpointQuery)
        return reply(await self._registry.list(caller, query.audience), headers=NO_STORE)

    async def get(self, request: Request, caller: Caller) -> Response:
        """Return an endpoint with its secret."""
        return reply(await self._registry.get(caller, request.path_params["id"]), headers=NO_STORE)

    async def change(self, request: Request, caller: Caller) -> Response:
        """Change the given fields of an endpoint."""
        change = self._decode_change(await read_body(request, MAX_BODY_BYTES))
        return reply(await self._registry.change(caller, request.path_params["id"], change), headers=NO_STORE)

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Delete a standing endpoint."""
        await self._registry.delete(caller, request.path_params["id"])
        return Response(status_code=204)

    async def test(self, request: Request, caller: Caller) -> Response:
        """Send a test event to an endpoint."""
        return reply(EndpointTestReply(await self._registry.test(caller, request.path_params["id"])), 202, NO_STORE)

    async def rotate_secret(self, request: Request, caller: Caller) -> Response:
        """Replace an endpoint's secret."""
        query = decode_query(request.query_params.multi_items(), RotationQuery)
        rotated = await self._registry.rotate_secret(caller, request.path_params["id"], end_previous=query.end_previous)
        return reply(rotated, headers=NO_STORE)

    async def stats(self, request: Request, caller: Caller) -> Response:
        """Return how an endpoint's deliveries went."""
        return reply(await self._statistics(caller, request.path_params["id"]), headers=NO_STORE)

    async def recover(self, request: Request, caller: Caller) -> Response:
        """Send an endpoint's deliveries since a moment again."""
        wanted = self._decode_recovery(await read_body(request, MAX_BODY_BYTES))
        return reply(await self._recover(caller, request.path_params["id"], wanted), headers=NO_STORE)

    async def list_deliveries(self, request: Request, caller: Caller) -> Response:
        """Return a page of the caller's deliveries."""
        query = decode_query(request.query_params.multi_items(), WebhookDeliveryQuery, _QUERY_WORDING)
        return reply(await self._deliveries.page(caller, query), headers=NO_STORE)

    async def get_delivery(self, request: Request, caller: Caller) -> Response:
        """Return a delivery with its attempts."""
        return reply(await self._deliveries.find(caller, request.path_params["id"]), headers=NO_STORE)

    async def redeliver(self, request: Request, caller: Caller) -> Response:
        """Send a delivery again."""
        return reply(await self._redeliver(caller, request.path_params["id"]), 202, NO_STORE)
