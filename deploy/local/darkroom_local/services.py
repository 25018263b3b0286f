"""The services of Darkroom, read from deploy/services.toml."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from darkroom_local.errors import LocalError
from darkroom_local.home import REPOSITORY

SERVICES_FILE = REPOSITORY / "deploy" / "services.toml"

UrlPath = Annotated[str, Meta(pattern="^/")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[int, Meta(ge=1)]
ExitCode = Annotated[int, Meta(ge=1, le=255)]


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service; deploy/services.toml documents the fields."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]*$")]
    package: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]
    port_setting: Annotated[str, Meta(pattern="^DARKROOM_[A-Z0-9_]+_PORT$")]
    port: Port
    ready_path: UrlPath
    ready_seconds: Seconds
    metrics_path: UrlPath
    stop_seconds: Seconds
    permanent_exit_codes: tuple[ExitCode, ...]
    edge: bool

    @property
    def port_name(self) -> str:
        """Name of the service's port in a stack's state: `gateway` for DARKROOM_GATEWAY_PORT."""
        return self.port_setting.removeprefix("DARKROOM_").removesuffix("_PORT").lower()


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    services: tuple[Service, ...]


def read_services(file: Path = SERVICES_FILE) -> tuple[Service, ...]:
    """Return the services in the order of their start.

    Raises LocalError when the file is missing or malformed, or names something twice.
    """
    try:
        services = msgspec.toml.decode(file.read_bytes(), type=_Document).services
    except (OSError, msgspec.DecodeError) as error:
        raise LocalError(f"Can't read the services from {file}: {error}") from error
    if twice := _named_twice(services):
        raise LocalError(f"{file} names {', '.join(twice)} more than once; every service needs its own.")
    return services


def _named_twice(services: Iterable[Service]) -> list[str]:
    values = [(each.name, each.package, each.port_setting, each.port) for each in services]
    columns = zip(*values, strict=True)
    return [str(value) for column in columns for value, count in Counter(column).items() if count > 1]
