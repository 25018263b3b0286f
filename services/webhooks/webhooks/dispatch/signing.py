"""The headers of an attempt: the delivery's id, the time of the attempt, and signatures of both and the body."""

import time

from darkroom_contracts.webhooks.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature_header
from webhooks.dispatch.records import Delivery, Endpoint
from webhooks.secrets import MasterKeys

USER_AGENT = "Darkroom-Webhooks"


def signed_headers(delivery: Delivery, keys: MasterKeys) -> dict[str, str]:
    """Return the headers of an attempt that is sent now. Raises UnknownMasterKeyError."""
    sent_at = int(time.time())
    signatures = signature_header(_secrets(delivery.endpoint, keys), str(delivery.id), sent_at, delivery.body)
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        ID_HEADER: str(delivery.id),
        TIMESTAMP_HEADER: str(sent_at),
        SIGNATURE_HEADER: signatures,
    }


def _secrets(endpoint: Endpoint, keys: MasterKeys) -> list[str]:
    """Return the current secret and, while it is still valid, the one before it."""
    rotations = [endpoint.rotation, endpoint.rotation - 1] if endpoint.has_previous_secret else [endpoint.rotation]
    key_id = endpoint.master_key or keys.primary
    return [keys.secret(key_id, endpoint.id, rotation) for rotation in rotations]
