"""Webhook endpoints: what a tenant, or an operator, sets and sees of them."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom_contracts.api.inputs import MetadataKey, MetadataValue, WebhookUrl
from darkroom_contracts.api.jobs import Timestamp
from darkroom_contracts.states import EndpointAudience, EndpointStatus

MAX_ENDPOINTS = 50
"""Most standing endpoints of a tenant, and of the operators."""
MAX_HEADERS = 20
MAX_HEADER_BYTES = 4096
"""Most bytes of all names and values of an endpoint's static headers."""
MAX_COUNTED = 10_000
"""Most deliveries, and most attempts, that statistics count."""

Description = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]
EventNames = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(min_length=1, max_length=32)]
MetadataFilter = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)]
# Tokens and field values of RFC 9110, without the characters beyond ASCII.
HeaderName = Annotated[str, Meta(max_length=64, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$(?!\n)")]
HeaderValue = Annotated[str, Meta(max_length=1024, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$(?!\n)")]
Headers = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=MAX_HEADERS)]

_URL = "`https`, without user info, at a public address. The operator may allow other hosts, over `http` too."
_DESCRIPTION = "For people. No NUL characters."
_METADATA_FILTER = "Metadata that a job must have, all of it, to be reported; empty for every job."
_HEADERS = (
    "Headers that every attempt sends, write-only. Values have visible ASCII characters and inner spaces; all together"
    " have 4,096 bytes at the most. Not `Host`, `User-Agent`, `Content-*`, `Webhook-*` or those of the connection."
)
_ED25519 = "Whether deliveries are signed with the endpoint's Ed25519 key too (`v1a`)."


class WebhookEndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of the creation of an endpoint."""

    url: Annotated[WebhookUrl, Meta(description=_URL)]
    description: Annotated[Description, Meta(description=_DESCRIPTION)] = ""
    events: Annotated[
        EventNames | None,
        Meta(
            description="Events to deliver. For clients those of jobs; for operators those of queues, workers, dead"
            " letters and failing endpoints.",
            extra={"default": "all; for clients all but `job.started`"},
        ),
    ] = None
    metadata_filter: Annotated[
        MetadataFilter, Meta(description=_METADATA_FILTER + " Not for operators.", extra={"default": "empty"})
    ] = {}
    headers: Annotated[Headers, Meta(description=_HEADERS, extra={"default": "empty"})] = {}
    ed25519: Annotated[bool, Meta(description=_ED25519)] = False
    audience: Annotated[
        EndpointAudience,
        Meta(description="`operator`, with an operator's key only: events about the service, of all tenants."),
    ] = EndpointAudience.CLIENT


class WebhookEndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a change: fields that are absent stay as they are. The implicit endpoint has the last two only."""

    url: Annotated[WebhookUrl | UnsetType, Meta(description=_URL + " Waiting deliveries go there too.")] = UNSET
    description: Annotated[Description | UnsetType, Meta(description=_DESCRIPTION)] = UNSET
    events: Annotated[EventNames | UnsetType, Meta(description="All events to deliver.")] = UNSET
    metadata_filter: Annotated[MetadataFilter | UnsetType, Meta(description="The whole filter; empty for none.")] = (
        UNSET
    )
    headers: Annotated[Headers | UnsetType, Meta(description="All static headers; empty for none.")] = UNSET
    ed25519: Annotated[bool | UnsetType, Meta(description=_ED25519)] = UNSET
    status: Annotated[
        Literal["enabled", "paused"] | UnsetType,
        Meta(description="A paused endpoint keeps its deliveries and sends them when it is enabled again."),
    ] = UNSET


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where webhooks are sent."""

    id: Annotated[UUID, Meta(description="Identifies the endpoint.")]
    audience: Annotated[EndpointAudience, Meta(description="Whose events it receives.")]
    implicit: Annotated[
        bool, Meta(description="Whether it stands for all `webhook_url`s of the tenant's jobs, which share its secret.")
    ]
    url: Annotated[str | None, Meta(description="Null for the implicit endpoint.")]
    description: Annotated[str, Meta(description="For people.")]
    events: Annotated[list[str], Meta(description="Empty for the implicit endpoint: every job has its own.")]
    metadata_filter: Annotated[dict[str, str], Meta(description="Metadata that a job must have to be reported.")]
    header_names: Annotated[list[str], Meta(description="Static headers, in lower case; values are never shown.")]
    ed25519: Annotated[bool, Meta(description=_ED25519)]
    status: Annotated[EndpointStatus, Meta(description="A disabled endpoint receives no events until it is enabled.")]
    disabled_reason: Annotated[str | None, Meta(description="Why it was disabled.")]
    failing_since: Annotated[
        Timestamp | None, Meta(description="The first failed attempt after the latest success; null after a success.")
    ]
    previous_secret_until: Annotated[
        Timestamp | None,
        Meta(description="Until when deliveries are signed with the secret before the latest rotation too, or null."),
    ]
    created_at: Annotated[Timestamp, Meta(description="When it was created.")]
    updated_at: Annotated[Timestamp, Meta(description="When it was last changed.")]


class WebhookEndpointWithSecret(WebhookEndpoint, frozen=True, kw_only=True):
    """An endpoint with what its receiver needs to verify signatures."""

    secret: Annotated[str, Meta(description="Verifies `v1` signatures, `whsec_...`. Keep it secret.")]
    public_key: Annotated[
        str | None, Meta(description="Verifies `v1a` signatures, `whpk_...`; null unless `ed25519` is set.")
    ]


class WebhookEndpointList(msgspec.Struct, frozen=True):
    """The endpoints of a tenant, or of the operators."""

    endpoints: Annotated[list[WebhookEndpoint], Meta(description="The implicit one first, then by age.")]


class WebhookEndpointQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of endpoints."""

    audience: Annotated[
        EndpointAudience, Meta(description="`operator` lists the operators' endpoints, for operators' keys only.")
    ] = EndpointAudience.CLIENT


class RotationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a rotation."""

    end_previous: Annotated[
        bool,
        Meta(description="Rotate although the secret before the current one is still valid, and end that one now."),
    ] = False


class EndpointTestReply(msgspec.Struct, frozen=True):
    """A test event that is to be sent."""

    delivery_id: Annotated[
        UUID, Meta(description="Its delivery, whose attempts `GET /v1/webhook-deliveries/{id}` has.")
    ]


class WebhookEndpointStats(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint's deliveries of the last 24 hours went."""

    since: Annotated[
        Timestamp,
        Meta(
            description=f"When the counted period begins: 24 hours ago, or with the newest {MAX_COUNTED:,} deliveries"
            " if there are more."
        ),
    ]
    deliveries: Annotated[dict[str, int], Meta(description="Deliveries by status.")]
    attempts: Annotated[
        dict[str, int], Meta(description=f"Ended attempts of theirs, {MAX_COUNTED:,} at the most, by outcome.")
    ]
    success_share: Annotated[
        float | None,
        Meta(description="Share of `succeeded` among those that succeeded or failed; null without any."),
    ]
    delivery_ms_p50: Annotated[
        float | None, Meta(description="Median of the milliseconds from an event, or its redelivery, to success.")
    ]
    delivery_ms_p95: Annotated[float | None, Meta(description="95th percentile of the same.")]
    attempt_ms_p50: Annotated[
        float | None, Meta(description="Median of the milliseconds that a successful attempt took.")
    ]
    attempt_ms_p95: Annotated[float | None, Meta(description="95th percentile of the same.")]
    oldest_pending_at: Annotated[
        Timestamp | None,
        Meta(description=f"The oldest event of the first {MAX_COUNTED:,} deliveries that wait, however old."),
    ]
