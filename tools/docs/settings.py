"""The settings reference of docs/operating.md."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import msgspec
from msgspec import inspect

from chassis.settings import PREFIX
from darkroom_local.services import read_services
from tools.docs.fields import Field, code, describe, fields_of, table


class Setting(NamedTuple):
    """A row of the reference."""

    variable: str
    kind: str
    default: str
    description: str


def reference() -> str:
    """Return every setting of every service. Services share a row where their setting is the same."""
    services = [service.name for service in read_services()]
    rows = [
        [code(setting.variable), setting.kind, setting.default, _users(users, services), setting.description]
        for setting, users in sorted(_settings().items(), key=lambda item: _order(item[0]))
    ]
    return table(["variable", "type and bounds", "default", "services", ""], rows)


def settings_of(struct: type[msgspec.Struct]) -> Iterator[Field]:
    """Yield the settings of a service's Struct, those of its groups included."""
    for field in fields_of(struct):
        if isinstance(field.kind, inspect.StructType):
            yield from settings_of(field.kind.cls)
        else:
            yield field


def _settings() -> dict[Setting, list[str]]:
    users: dict[Setting, list[str]] = {}
    for service in read_services():
        for field in settings_of(import_module(f"{service.package}.settings").Settings):
            users.setdefault(_setting(field), []).append(service.name)
    return users


def _setting(field: Field) -> Setting:
    default = "required" if field.default is None else field.default
    return Setting(PREFIX + field.name.upper(), describe(field.kind, patterns=True), default, field.description)


def _order(setting: Setting) -> tuple[bool, Setting]:
    return setting.default != "required", setting


def _users(users: list[str], services: list[str]) -> str:
    return "all" if users == services else ", ".join(users)
