"""Endpoints as responses show them."""

from typing import Any

from chassis.problems import ProblemError, unavailable
from darkroom_contracts.api.webhook_endpoints import WebhookEndpoint, WebhookEndpointWithSecret
from webhooks.registry.records import Endpoint
from webhooks.secrets import MasterKeys, UnknownMasterKeyError

_SHOWN = tuple(field for field in WebhookEndpoint.__struct_fields__ if field != "previous_secret_until")


def view(endpoint: Endpoint) -> WebhookEndpoint:
    """Return an endpoint without its secret."""
    return WebhookEndpoint(**_fields(endpoint))


def view_with_secret(endpoint: Endpoint, keys: MasterKeys) -> WebhookEndpointWithSecret:
    """Return an endpoint that has a master key, with its secret and its public key. Raises ProblemError, 503."""
    assert endpoint.master_key is not None
    named = endpoint.master_key, endpoint.id, endpoint.rotation
    try:
        public_key = keys.public_key(*named) if endpoint.ed25519 else None
        return WebhookEndpointWithSecret(**_fields(endpoint), secret=keys.secret(*named), public_key=public_key)
    except UnknownMasterKeyError as error:
        raise _without_master_key() from error


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    shown = {name: getattr(endpoint, name) for name in _SHOWN}
    return shown | {"previous_secret_until": endpoint.previous_until}


def _without_master_key() -> ProblemError:
    return unavailable(
        "The endpoint's secret can't be shown, because its master key is missing. Ask the operator to add it again, or"
        " rotate the secret."
    )
