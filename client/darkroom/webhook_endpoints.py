"""The endpoints that webhooks are sent to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from darkroom.errors import UnreachableError
from darkroom.transport import Transport
from darkroom_contracts.api.webhook_deliveries import RecoverReply, RecoverRequest
from darkroom_contracts.api.webhook_endpoints import (
    EndpointTestReply,
    RotationQuery,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpointList,
    WebhookEndpointQuery,
    WebhookEndpointRequest,
    WebhookEndpointStats,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.routes.webhooks import (
    CHANGE_ENDPOINT,
    CREATE_ENDPOINT,
    DELETE_ENDPOINT,
    GET_ENDPOINT,
    GET_ENDPOINT_STATS,
    LIST_ENDPOINTS,
    RECOVER_ENDPOINT,
    ROTATE_SECRET,
    TEST_ENDPOINT,
)
from darkroom_contracts.states import EndpointAudience

EndpointId: TypeAlias = UUID | Literal["implicit"]
"""The id of an endpoint, or `implicit` for the one that stands for the `webhook_url`s of the tenant's jobs."""
Include: TypeAlias = Literal["failed", "all"]


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """How far a recovery is."""

    redelivered: int
    """Deliveries that are due again because of it."""
    next_since: datetime | None
    """Where it continues; None once it is complete."""
    kept_since: datetime | None = None
    """The time of the endpoint's oldest delivery: earlier ones were removed because of their age."""


class WebhookEndpoints:
    """Endpoints of the key's tenant; with an operator's key those of operators too.

    Every method raises UnreachableError and ApiError. Creating an endpoint and sending a test event are not repeated
    after a lost response, since both would happen twice.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def create(
        self,
        url: str,
        *,
        description: str = "",
        events: Sequence[str] | None = None,
        metadata_filter: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        ed25519: bool = False,
        audience: EndpointAudience = EndpointAudience.CLIENT,
    ) -> WebhookEndpointWithSecret:
        """Create an endpoint and return it with its secret. Without `events` it receives all but `job.started`.

        It receives the events of the jobs that have all of `metadata_filter`. `headers` are sent with every request;
        no response shows their values.
        """
        request = WebhookEndpointRequest(
            url=url,
            description=description,
            events=None if events is None else tuple(events),
            metadata_filter=dict(metadata_filter or {}),
            headers=dict(headers or {}),
            ed25519=ed25519,
            audience=audience,
        )
        return self._api.call(CREATE_ENDPOINT, WebhookEndpointWithSecret, body=request, once=True)

    def list(self, audience: EndpointAudience = EndpointAudience.CLIENT) -> Sequence[WebhookEndpoint]:
        """Return the endpoints without their secrets, the implicit one first."""
        return self._api.call(LIST_ENDPOINTS, WebhookEndpointList, query=WebhookEndpointQuery(audience)).endpoints

    def get(self, endpoint: EndpointId) -> WebhookEndpointWithSecret:
        """Return an endpoint with its secret."""
        return self._api.call(GET_ENDPOINT, WebhookEndpointWithSecret, path={"id": endpoint})

    def change(self, endpoint: EndpointId, change: WebhookEndpointChange) -> WebhookEndpoint:
        """Change the fields that are set, and return the endpoint."""
        return self._api.call(CHANGE_ENDPOINT, WebhookEndpoint, path={"id": endpoint}, body=change)

    def pause(self, endpoint: EndpointId) -> WebhookEndpoint:
        """Keep the endpoint's deliveries until it is resumed."""
        return self.change(endpoint, WebhookEndpointChange(status="paused"))

    def resume(self, endpoint: EndpointId) -> WebhookEndpoint:
        """Enable a paused or disabled endpoint. What waited while it was paused is sent."""
        return self.change(endpoint, WebhookEndpointChange(status="enabled"))

    def delete(self, endpoint: EndpointId) -> None:
        """Delete an endpoint; its waiting deliveries are canceled."""
        self._api.execute(DELETE_ENDPOINT, path={"id": endpoint})

    def test(self, endpoint: EndpointId) -> UUID:
        """Send a test event to the endpoint and return the id of its delivery."""
        return self._api.call(TEST_ENDPOINT, EndpointTestReply, path={"id": endpoint}, once=True).delivery_id

    def rotate_secret(self, endpoint: EndpointId, *, end_previous: bool = False) -> WebhookEndpointWithSecret:
        """Replace the secret and the key pair. The previous ones sign too, for 24 hours.

        During these 24 hours another rotation is refused unless `end_previous`, since it ends the oldest secret at
        once. Such a rotation is not repeated after a lost response.
        """
        query = RotationQuery(end_previous)
        path = {"id": endpoint}
        return self._api.call(ROTATE_SECRET, WebhookEndpointWithSecret, path=path, query=query, once=end_previous)

    def stats(self, endpoint: EndpointId) -> WebhookEndpointStats:
        """Return how the deliveries of the last 24 hours went."""
        return self._api.call(GET_ENDPOINT_STATS, WebhookEndpointStats, path={"id": endpoint})

    def recover(
        self,
        endpoint: EndpointId,
        since: datetime,
        *,
        include: Include = "failed",
        on_page: Callable[[Recovered], None] | None = None,
    ) -> Recovered:
        """Send the deliveries of events since a moment again, the oldest first, by as many requests as it takes.

        `failed` are all that ended without success, `all` those too that succeeded. `on_page` is called after every
        request with how far the recovery is; one that was interrupted continues from `next_since`.
        """
        so_far = Recovered(redelivered=0, next_since=since)
        while so_far.next_since is not None:
            reply = self._recover(endpoint, RecoverRequest(so_far.next_since, include))
            so_far = Recovered(
                redelivered=so_far.redelivered + reply.redelivered,
                next_since=reply.next_since,
                kept_since=so_far.kept_since or reply.kept_since,
            )
            if on_page:
                on_page(so_far)
        return so_far

    def _recover(self, endpoint: EndpointId, request: RecoverRequest) -> RecoverReply:
        """Send one request. Repeating one for `all` would send what succeeded once more, so it is sent once."""
        once = request.include == "all"
        reply = self._api.call(RECOVER_ENDPOINT, RecoverReply, path={"id": endpoint}, body=request, once=once)
        if reply.next_since is not None and reply.next_since <= request.since:
            raise UnreachableError(
                "Unexpected response (the recovery does not advance); report it with the server's log."
            )
        return reply
