"""The use cases of endpoints."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from msgspec import UNSET

from chassis.auth import Caller
from chassis.decoding import invalid
from chassis.postgres import Database
from chassis.problems import ProblemError
from chassis.targets import Policy
from darkroom_contracts.api.webhook_endpoints import (
    MAX_ENDPOINTS,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpointList,
    WebhookEndpointRequest,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.states import EndpointAudience, EndpointStatus
from darkroom_contracts.webhooks import TEST_EVENT
from webhooks.registry import store
from webhooks.registry.allowances import Act, Allowances
from webhooks.registry.checks import DEFAULT_EVENTS, check_events, check_headers, check_metadata_filter, check_url
from webhooks.registry.lookup import find_endpoint, lock_endpoint, owner_of
from webhooks.registry.records import Endpoint, NewEndpoint
from webhooks.registry.views import view, view_with_secret
from webhooks.secrets import MasterKeys

log = structlog.get_logger()

OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation is valid beside the new one."""
_OF_IMPLICIT = frozenset(("ed25519", "status"))
"""What can be changed of an implicit endpoint."""


class Registry:
    """The endpoints of all tenants, each seen by its own, and those of the operators."""

    def __init__(self, database: Database, keys: MasterKeys, policy: Policy, allowances: Allowances) -> None:
        self._database = database
        self._keys = keys
        self._policy = policy
        self._allowances = allowances

    async def create(self, caller: Caller, request: WebhookEndpointRequest) -> WebhookEndpointWithSecret:
        """Record a standing endpoint. Raises ProblemError: 403, 409 at the limit, 422, 429."""
        owner = owner_of(request.audience, caller)
        new = self._new(owner, request)
        async with self._database.transaction() as connection:
            await store.lock_creations(connection, owner)
            if await store.count_standing(connection, owner) >= MAX_ENDPOINTS:
                raise ProblemError(
                    ApiError.ENDPOINT_LIMIT, f"There are {MAX_ENDPOINTS} endpoints already. Delete or change one."
                )
            await self._allowances.spend(connection, caller.tenant_id, Act.CREATE)
            endpoint = await store.insert_endpoint(connection, new)
        log.info("webhook endpoint created", endpoint_id=str(endpoint.id), audience=endpoint.audience)
        return view_with_secret(endpoint, self._keys)

    async def list(self, caller: Caller, audience: EndpointAudience) -> WebhookEndpointList:
        """Return the tenant's endpoints, or the operators'. Raises ProblemError, 403."""
        owner = owner_of(audience, caller)
        async with self._database.connection() as connection:
            return WebhookEndpointList([view(each) for each in await store.list_endpoints(connection, owner)])

    async def get(self, caller: Caller, reference: str) -> WebhookEndpointWithSecret:
        """Return an endpoint. Its secret is settled with it. Raises ProblemError: 404, 503."""
        async with self._database.connection() as connection:
            endpoint = await find_endpoint(connection, caller, reference)
            if endpoint.master_key is None:
                endpoint = await store.adopt_master_key(connection, endpoint.id, self._keys.primary)
        return view_with_secret(endpoint, self._keys)

    async def change(self, caller: Caller, reference: str, change: WebhookEndpointChange) -> WebhookEndpoint:
        """Change the fields that are given. Raises ProblemError: 404, 422."""
        given = _given(change)
        async with self._database.transaction() as connection:
            endpoint = await lock_endpoint(connection, caller, reference)
            changed = await store.update_endpoint(connection, self._changed(endpoint, given))
            if changed.status is EndpointStatus.ENABLED:
                await store.wake_dispatcher(connection)
        log.info("webhook endpoint changed", endpoint_id=str(changed.id), fields=list(given), status=changed.status)
        return view(changed)

    async def delete(self, caller: Caller, reference: str) -> None:
        """Delete a standing endpoint. Raises ProblemError: 404, 409 for an implicit one."""
        async with self._database.transaction() as connection:
            endpoint = await lock_endpoint(connection, caller, reference)
            _refuse_implicit(endpoint, "can't be deleted. Pause it instead")
            await store.delete_endpoint(connection, endpoint.id)
        log.info("webhook endpoint deleted", endpoint_id=str(endpoint.id))

    async def test(self, caller: Caller, reference: str) -> UUID:
        """Record a test event. Return its delivery. Raises ProblemError: 404, 409, 429."""
        async with self._database.transaction() as connection:
            endpoint = await find_endpoint(connection, caller, reference)
            _refuse_implicit(endpoint, "has no URL that could be tested. Submit a job with a `webhook_url` instead")
            await self._allowances.spend(connection, caller.tenant_id, Act.TEST)
            data = {"endpoint_id": str(endpoint.id)}
            delivery_id = await store.record_event(connection, endpoint.id, TEST_EVENT, data)
            if delivery_id is None:
                raise ProblemError(ApiError.ENDPOINT_INACTIVE, "The endpoint is disabled. Enable it first.")
        return delivery_id

    async def rotate_secret(
        self, caller: Caller, reference: str, *, end_previous: bool = False
    ) -> WebhookEndpointWithSecret:
        """Replace the secret; the one before it stays valid for a while. Raises ProblemError: 404, 409."""
        async with self._database.transaction() as connection:
            endpoint = await lock_endpoint(connection, caller, reference)
            if endpoint.previous_until is not None and not end_previous:
                raise _under_way(endpoint)
            overlap = OVERLAP if endpoint.master_key in self._keys.ids else None
            rotated = await store.rotate_secret(connection, endpoint.id, self._keys.primary, overlap)
        log.info("webhook secret rotated", endpoint_id=str(rotated.id), rotation=rotated.rotation)
        return view_with_secret(rotated, self._keys)

    def _new(self, owner: UUID | None, request: WebhookEndpointRequest) -> NewEndpoint:
        check_url(request.url, self._policy)
        events = DEFAULT_EVENTS[request.audience] if request.events is None else request.events
        check_metadata_filter(request.metadata_filter, request.audience)
        endpoint_id = uuid4()
        return NewEndpoint(
            id=endpoint_id,
            tenant_id=owner,
            audience=request.audience,
            url=request.url,
            description=request.description,
            events=check_events(events, request.audience),
            metadata_filter=request.metadata_filter,
            ed25519=request.ed25519,
            master_key=self._keys.primary,
            **self._encrypted(endpoint_id, request.headers),
        )

    def _changed(self, endpoint: Endpoint, given: Mapping[str, Any]) -> Endpoint:
        """Return the endpoint with the given fields, once they are checked."""
        if endpoint.implicit and (refused := next((name for name in given if name not in _OF_IMPLICIT), None)):
            raise invalid(refused, "can't be set for the implicit endpoint; every job has its own URL and events")
        values = dict(given)
        if "url" in values:
            check_url(values["url"], self._policy)
        if "events" in values:
            values["events"] = check_events(values["events"], endpoint.audience)
        if "metadata_filter" in values:
            check_metadata_filter(values["metadata_filter"], endpoint.audience)
        if "status" in values:
            values["status"] = EndpointStatus(values["status"])
        if "headers" in values:
            values |= self._encrypted(endpoint.id, values["headers"])
        return msgspec.structs.replace(endpoint, **values)

    def _encrypted(self, endpoint_id: UUID, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the columns of an endpoint's static headers."""
        checked = check_headers(headers)
        if not checked:
            return {"header_names": (), "headers": None, "headers_key": None}
        encrypted = self._keys.encrypt_headers(endpoint_id, checked)
        return {"header_names": tuple(checked), "headers": encrypted, "headers_key": self._keys.primary}


def _given(change: WebhookEndpointChange) -> dict[str, Any]:
    fields = msgspec.structs.asdict(change)
    return {name: value for name, value in fields.items() if value is not UNSET}


def _refuse_implicit(endpoint: Endpoint, why: str) -> None:
    if endpoint.implicit:
        raise ProblemError(ApiError.IMPLICIT_ENDPOINT, f"The implicit endpoint {why}.")


def _under_way(endpoint: Endpoint) -> ProblemError:
    return ProblemError(
        ApiError.ROTATION_UNDER_WAY,
        f"The secret before the current one is valid until {endpoint.previous_until:%Y-%m-%d %H:%M} UTC. Rotate again"
        " after that, or with `end_previous=true`, which ends it now.",
    )
