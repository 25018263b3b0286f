"""The headers of an attempt: the delivery's id, the time of the attempt, and signatures of both and the body."""

import time
from collections.abc import Iterator

from darkroom_contracts.webhooks.signing import (
    ASYMMETRIC,
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    sign,
    signature,
    signed_content,
)
from webhooks.dispatch.records import Delivery, Endpoint
from webhooks.secrets import MasterKeys

USER_AGENT = "Darkroom-Webhooks"


def signed_headers(delivery: Delivery, keys: MasterKeys) -> dict[str, str]:
    """Return the headers of an attempt that is sent now: the endpoint's own ones, then those that it can't replace.

    Raises MasterKeyError.
    """
    sent_at = int(time.time())
    return _static_headers(delivery.endpoint, keys) | {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        ID_HEADER: str(delivery.id),
        TIMESTAMP_HEADER: str(sent_at),
        SIGNATURE_HEADER: " ".join(_signatures(delivery, sent_at, keys)),
    }


def _static_headers(endpoint: Endpoint, keys: MasterKeys) -> dict[str, str]:
    if endpoint.headers is None or endpoint.headers_key is None:
        return {}
    return keys.decrypt_headers(endpoint.headers_key, endpoint.id, endpoint.headers)


def _signatures(delivery: Delivery, sent_at: int, keys: MasterKeys) -> Iterator[str]:
    """Yield signatures by the current secret and, while it is still valid, by the one before it."""
    endpoint = delivery.endpoint
    secrets = [(endpoint.master_key or keys.primary, endpoint.rotation)]
    if endpoint.previous_master_key is not None:
        secrets.append((endpoint.previous_master_key, endpoint.rotation - 1))
    for key_id, rotation in secrets:
        yield sign(keys.secret(key_id, endpoint.id, rotation), str(delivery.id), sent_at, delivery.body)
    if endpoint.ed25519:
        content = signed_content(str(delivery.id), sent_at, delivery.body)
        for key_id, rotation in secrets:
            yield signature(ASYMMETRIC, keys.sign_ed25519(key_id, endpoint.id, rotation, content))
