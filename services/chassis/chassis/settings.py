"""Settings from the environment: one frozen Struct for each service, every mistake reported at once.

A service's Struct has the groups below as fields (`database: DatabaseSettings`), since Structs cannot inherit from
several. Each field describes itself in `Meta(description=...)`, from where the settings reference takes it, with
`extra={"default": ...}` where the default depends on other settings or on the machine.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from chassis.targets import Policy, parse_networks
from darkroom_contracts.models import Catalogue, load_catalogue

PREFIX = "DARKROOM_"
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
PostgresUrl = Annotated[str, Meta(pattern="^postgres(ql)?://")]
HttpOrigin = Annotated[str, Meta(pattern="^https?://")]
PublicOrigin = Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+\Z")]
"""An origin that precedes paths, so without a slash at its end."""

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """Some settings are missing or wrong; the message has a line for each."""


class Address(msgspec.Struct, frozen=True):
    """The host and the port that a service listens on."""

    host: str
    port: Port


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The logs on standard output."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe level that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"], Meta(description="One JSON object a line, or lines for people.")
    ] = "json"


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every service's settings. Each field, those of the groups included, is DARKROOM_<FIELD>."""

    log: LogSettings

    @property
    def address(self) -> Address:
        """Where the service listens."""
        raise NotImplementedError


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """RabbitMQ."""

    amqp_url: Annotated[
        str, Meta(pattern="^amqps?://", description="URL of RabbitMQ, with user, password and virtual host.")
    ]
    retry_delays: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=3600)], ...],
        Meta(
            min_length=1,
            max_length=8,
            description="Seconds that a job waits after its first, second, ... failed attempt. Equal in all services.",
        ),
    ] = (10, 60, 300)


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """PostgreSQL."""

    database_url: Annotated[
        PostgresUrl,
        Meta(
            description="URL of PostgreSQL, or of a connection pooler in transaction mode, with user, password and"
            " database."
        ),
    ]
    database_direct_url: Annotated[
        PostgresUrl | None,
        Meta(
            description="URL of the same database without a pooler, for sessions that hold locks or LISTEN.",
            extra={"default": "`DARKROOM_DATABASE_URL`"},
        ),
    ] = None
    database_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Most connections of a process. One of two or more is reserved for the readiness check.",
        ),
    ] = 5

    @property
    def direct_url(self) -> str:
        """Where to open a session that must stay on one server connection."""
        return self.database_direct_url or self.database_url


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The S3 bucket of the pictures."""

    s3_endpoint: Annotated[HttpOrigin, Meta(description="Origin at which the service reaches S3.")]
    s3_access_key: Annotated[str, Meta(description="Access key of S3.")]
    s3_secret_key: Annotated[str, Meta(description="Secret key of S3.")]
    s3_bucket: Annotated[str, Meta(description="Bucket of the pictures.")] = "darkroom"
    s3_region: Annotated[str, Meta(description="Region of the bucket.")] = "us-east-1"


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The links in responses and webhooks."""

    public_url: Annotated[
        PublicOrigin | None,
        Meta(
            description="Origin of the edge as clients reach it, which makes the links of pictures absolute. Without it"
            " they are paths.",
        ),
    ] = None

    @property
    def origin(self) -> str:
        """What precedes a path to make a link; empty without a public URL."""
        return self.public_url or ""


class CatalogueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model catalogue."""

    models_file: Annotated[str, Meta(description="File of the model catalogue.")] = "deploy/models.toml"
    models_home: Annotated[str, Meta(description="Folder that relative paths of models start from.")] = "models"

    def load(self) -> Catalogue:
        """Return the catalogue. Raises CatalogueError."""
        return load_catalogue(Path(self.models_file))


class WebhookTargetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts that webhooks may name. Wrong entries raise SettingsError."""

    webhook_allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            max_length=100,
            description="Exact host names, addresses and CIDRs that webhooks may reach although their addresses are not"
            " public, over plain http too and at any port. For development; a CIDR is as wide as /8 (IPv6: /7) at the"
            " most. Equal in gateway, webhooks and operations.",
        ),
    ] = ()
    webhook_allowed_ports: Annotated[
        tuple[Port, ...],
        Meta(min_length=1, max_length=100, description="Ports that the URLs of webhooks may name at other hosts."),
    ] = (443,)
    webhook_denied_networks: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            max_length=1_000,
            description="Further addresses and CIDRs that webhooks never reach: those that are public by their number"
            " but internal here, such as the prefix of a NAT64 gateway. Private, loopback and other special networks"
            " are always denied. Equal in gateway, webhooks and operations.",
        ),
    ] = ()

    def __post_init__(self) -> None:
        mistakes = []
        for variable, check in (
            ("ALLOWED_HOSTS", lambda: Policy.of(self.webhook_allowed_hosts)),
            ("DENIED_NETWORKS", lambda: parse_networks(self.webhook_denied_networks)),
        ):
            try:
                check()
            except ValueError as error:
                mistakes.append(f"DARKROOM_WEBHOOK_{variable}: {error}")
        if mistakes:
            raise SettingsError("\n".join(mistakes))

    @property
    def policy(self) -> Policy:
        """The policy that these settings describe."""
        return Policy.of(self.webhook_allowed_hosts, self.webhook_allowed_ports, self.webhook_denied_networks)


def load(settings: type[S], environ: Mapping[str, str] = os.environ) -> S:
    """Read each field from DARKROOM_<FIELD>; tuples are comma-separated. An empty variable counts as unset.

    A field that is a Struct is read in the same way; its own name is not part of its variables. A Struct whose settings
    contradict each other raises SettingsError in `__post_init__`, with one line for each contradiction.
    Raises SettingsError naming every missing, wrong and contradictory variable, never the values that were given.
    """
    mistakes: list[str] = []
    loaded = _read(settings, environ, mistakes)
    if loaded is None:
        raise SettingsError("\n".join(mistakes))
    return loaded


def _read(settings: type[S], environ: Mapping[str, str], mistakes: list[str]) -> S | None:
    """Return the settings, or None after adding to `mistakes`."""
    values: dict[str, Any] = {}
    mistakes_before = len(mistakes)
    for field in msgspec.structs.fields(settings):
        variable = PREFIX + field.name.upper()
        text = environ.get(variable, "")
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            values[field.name] = _read(field.type, environ, mistakes)
        elif text:
            try:
                values[field.name] = _parse(text, field.type)
            except msgspec.ValidationError as error:
                mistakes.append(f"{variable}: {_complaint(error, field.type)}")
        elif field.required:
            mistakes.append(f"{variable}: is not set")
    return _build(settings, values, mistakes) if len(mistakes) == mistakes_before else None


def _build(settings: type[S], values: dict[str, Any], mistakes: list[str]) -> S | None:
    try:
        return settings(**values)
    except SettingsError as error:
        mistakes.append(str(error))
        return None


def _parse(text: str, wanted: Any) -> Any:
    is_tuple = isinstance(_type_info(wanted), msgspec.inspect.VarTupleType)
    raw: Any = [part.strip() for part in text.split(",")] if is_tuple else text
    return msgspec.convert(raw, wanted, strict=False)


def _complaint(error: msgspec.ValidationError, wanted: Any) -> str:
    info = _type_info(wanted)
    if isinstance(info, msgspec.inspect.LiteralType):  # msgspec would quote the value
        return f"must be one of {', '.join(map(str, info.values))}"
    return str(error)


def _type_info(wanted: Any) -> msgspec.inspect.Type:
    """Return the type, without what its annotations describe."""
    info = msgspec.inspect.type_info(wanted)
    return info.type if isinstance(info, msgspec.inspect.Metadata) else info
