"""What all endpoints share: scopes, problems, health and the encoder."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Scope(StrEnum):
    """What an API key allows. An operator's key allows all that the others do."""

    CLIENT = "client"
    """The jobs and webhooks of the key's tenant."""
    OBSERVER = "observer"
    """To look at what operators see, of all tenants; no tenant's jobs, and nothing that must be revealed."""
    OPERATOR = "operator"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details, RFC 9457. `code` is read as any string, so that a later version may add one: see ApiError."""

    type: Annotated[str, Meta(description="URI of the kind of problem; its last segment is `code`.")]
    title: Annotated[str, Meta(description="Name of the HTTP status.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    code: Annotated[str, Meta(description="A stable code, see the table of codes.")]
    detail: Annotated[str | UnsetType, Meta(description="What happened and what to do, for people.")] = UNSET
    field: Annotated[str | UnsetType, Meta(description="Path of the wrong field, such as `input.width`.")] = UNSET


class Liveness(msgspec.Struct, frozen=True):
    """Body of /healthz."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """Body of /readyz."""

    ready: Annotated[bool, Meta(description="Whether every check passed.")]
    checks: Annotated[dict[str, str], Meta(description="`ok` or the reason for each check.")]


encode = msgspec.json.Encoder().encode
"""The encoder of every body, event and webhook of the API."""
