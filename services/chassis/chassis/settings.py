"""Settings from the environment: one frozen Struct per service, every mistake reported at once.

A service's Struct holds the groups below as fields (`database: DatabaseSettings`): Structs can't inherit from several.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from darkroom_contracts.models import Catalogue, load_catalogue

PREFIX = "DARKROOM_"
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """Some settings are missing or wrong; the message has a line for each."""


class Address(msgspec.Struct, frozen=True):
    """The host and the port that a service listens on."""

    host: str
    port: Port


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    log_format: Annotated[str, Meta(pattern="^(json|console)$")] = "json"


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every service's settings. Each field, those of the groups included, is DARKROOM_<FIELD>."""

    log: LogSettings

    @property
    def address(self) -> Address:
        """Where the service listens."""
        raise NotImplementedError


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    amqp_url: Annotated[str, Meta(pattern="^amqps?://")]
    """RabbitMQ, with user, password and virtual host."""
    retry_delays: Annotated[tuple[Annotated[int, Meta(ge=1, le=3600)], ...], Meta(min_length=1, max_length=8)] = (
        10,
        60,
        300,
    )
    """Seconds a job waits after its first, second, ... failed attempt. All services must agree on them."""


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Annotated[str, Meta(pattern="^postgres(ql)?://")]
    """PostgreSQL, with user, password and database. A connection pooler in transaction mode may stand before it."""
    database_direct_url: Annotated[str, Meta(pattern="^postgres(ql)?://")] | None = None
    """The same database without a pooler between, for sessions that hold locks or LISTEN. Default: the URL above."""
    database_connections: Annotated[int, Meta(ge=1, le=100)] = 5
    """Connections at the most, per process. From two on, one of them is kept for the readiness check."""

    @property
    def direct_url(self) -> str:
        """Where to open a session that must stay on one server connection."""
        return self.database_direct_url or self.database_url


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    s3_endpoint: Annotated[str, Meta(pattern="^https?://")]
    """Where this service reaches S3."""
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str = "darkroom"
    s3_region: str = "us-east-1"


class CatalogueSettings(msgspec.Struct, frozen=True, kw_only=True):
    models_file: str = "deploy/models.toml"
    """The model catalogue."""
    models_home: str = "models"
    """The folder that relative model paths start from."""

    def load(self) -> Catalogue:
        """Raises CatalogueError."""
        return load_catalogue(Path(self.models_file))


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
                mistakes.append(f"{variable}: {error}")
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
    info = msgspec.inspect.type_info(wanted)
    kind = info.type if isinstance(info, msgspec.inspect.Metadata) else info
    is_tuple = isinstance(kind, msgspec.inspect.VarTupleType)
    raw: Any = [part.strip() for part in text.split(",")] if is_tuple else text
    return msgspec.convert(raw, wanted, strict=False)
