"""The API keys of all tenants, as operators make, list, rotate and revoke them."""

from collections.abc import Iterator

from darkroom.transport import Transport
from darkroom_contracts.api import Scope
from darkroom_contracts.api.keys import (
    MAX_KEYS,
    ApiKeyList,
    ApiKeyQuery,
    ApiKeyRequest,
    ApiKeyView,
    KeyStatus,
    NewApiKey,
    RevocationRequest,
    RotationRequest,
)
from darkroom_contracts.routes.keys import CREATE_KEY, LIST_KEYS, REVOKE_KEY, ROTATE_KEY


class Keys:
    """API keys, for an operator's key; an observer's key can list them.

    Every method raises UnreachableError and ApiError. A key is named by its id, never by itself.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(
        self,
        *,
        key_id: str | None = None,
        tenant: str | None = None,
        scope: Scope | None = None,
        status: KeyStatus | None = None,
        expiring_within_days: int | None = None,
    ) -> Iterator[ApiKeyView]:
        """Yield the keys that match, the newest first, without their secrets. Pages are requested as they are needed.

        The status `active` includes `expiring`.
        """
        query = ApiKeyQuery(
            id=key_id,
            tenant=tenant,
            scope=scope,
            status=status,
            expiring_within_days=expiring_within_days,
            limit=MAX_KEYS,
        )
        for page in self._api.pages(LIST_KEYS, ApiKeyList, query):
            yield from page.keys

    def create(
        self,
        scope: Scope,
        name: str,
        *,
        tenant: str = "default",
        expires_in_days: int | None = None,
        reason: str | None = None,
    ) -> NewApiKey:
        """Make a key, and its tenant if that does not exist. The response alone holds the key.

        Not retried where the response is lost, since each request makes a key.
        """
        request = ApiKeyRequest(scope=scope, name=name, tenant=tenant, expires_in_days=expires_in_days, reason=reason)
        return self._api.call(CREATE_KEY, NewApiKey, body=request, once=True)

    def rotate(
        self,
        key_id: str,
        *,
        overlap_hours: float = 24.0,
        expires_in_days: int | None = None,
        reason: str | None = None,
    ) -> NewApiKey:
        """Make the successor of a key, which itself works for the overlap, but not beyond its expiry.

        Without `expires_in_days` the new key lives as long as the old one was to. Not retried where the response is
        lost, since a key is rotated once.
        """
        request = RotationRequest(overlap_hours=overlap_hours, expires_in_days=expires_in_days, reason=reason)
        return self._api.call(ROTATE_KEY, NewApiKey, path={"id": key_id}, body=request, once=True)

    def revoke(self, key_id: str, *, cancel_queued: bool = False, reason: str | None = None) -> ApiKeyView:
        """Revoke a key, which is refused within seconds, and cancel its unfinished jobs if asked to. Repeatable."""
        request = RevocationRequest(cancel_queued=cancel_queued, reason=reason)
        return self._api.call(REVOKE_KEY, ApiKeyView, path={"id": key_id}, body=request)
