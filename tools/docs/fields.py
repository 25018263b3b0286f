"""Fields of Structs for people: type, bounds, default and description."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect


class Field(NamedTuple):
    """A field of a Struct, in words."""

    name: str
    kind: inspect.Type
    default: str | None
    """None for a required field."""
    description: str


def fields_of(struct: type[msgspec.Struct]) -> Iterator[Field]:
    """Yield the fields of a Struct in their order."""
    for field in msgspec.structs.fields(struct):
        info = inspect.type_info(field.type)
        schema: dict[str, Any] = (info.extra_json_schema or {}) if isinstance(info, inspect.Metadata) else {}
        extra: dict[str, Any] = (info.extra or {}) if isinstance(info, inspect.Metadata) else {}
        default = None if field.required else extra.get("default", _default(field))
        yield Field(field.name, plain(info), default, schema.get("description", ""))


def plain(info: inspect.Type) -> inspect.Type:
    """Return a type without its annotations and without null."""
    if isinstance(info, inspect.Metadata):
        return plain(info.type)
    if isinstance(info, inspect.UnionType):
        (only,) = [plain(each) for each in info.types if not isinstance(each, inspect.NoneType)]
        return only
    return info


def describe(info: inspect.Type, *, patterns: bool = False) -> str:
    """Return a type with its bounds, such as `whole number, 1 to 16`. `patterns` adds the patterns of texts."""
    info = plain(info)
    if type(info) in _NAMES:
        return _join(_NAMES[type(info)], _bounds(info, patterns=patterns))
    if isinstance(info, inspect.LiteralType):
        return _choices(info.values)
    if isinstance(info, inspect.EnumType):
        return _choices(member.value for member in info.cls)
    raise TypeError(f"There are no words for {info}; add them here.")


_NAMES: dict[type[inspect.Type], str] = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.BoolType: "`true` or `false`",
    inspect.ListType: "list",
    inspect.VarTupleType: "list",
    inspect.DictType: "object",
    inspect.StructType: "object",
    inspect.UUIDType: "UUID",
    inspect.DateTimeType: "time, RFC 3339",
}


def _bounds(info: inspect.Type, *, patterns: bool) -> str:
    match info:
        case inspect.IntType() | inspect.FloatType():
            return _range(info)
        case inspect.StrType():
            pattern = f"matching {code(info.pattern)}" if patterns and info.pattern else ""
            return _join(_lengths(info, "characters"), pattern)
        case inspect.ListType() | inspect.VarTupleType():
            return _join(_lengths(info, "items"), f"each: {describe(info.item_type, patterns=patterns)}")
        case inspect.DictType():
            return _lengths(info, "members")
    return ""


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def code(text: str) -> str:
    """Return Markdown code."""
    return f"`{text}`"


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value is msgspec.UNSET:
        return "none"
    if isinstance(value, tuple):
        return code(",".join(map(str, value)))
    if isinstance(value, str):
        return code(value) if value else "empty"
    return code(msgspec.json.encode(value).decode().removesuffix(".0"))


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    if info.gt is not None:
        return f"above {_number(info.gt)}, at most {_number(info.le)}"
    if info.ge is not None and info.le is not None:
        return f"{_number(info.ge)} to {_number(info.le)}"
    return "" if info.ge is None else f"at least {_number(info.ge)}"


def _number(value: float | None) -> str:
    assert value is not None
    return f"{value:,}".removesuffix(".0")


def _lengths(info: Any, unit: str) -> str:
    if info.max_length is None:
        return ""
    bound = f"{info.min_length:,} to {info.max_length:,}" if info.min_length else f"at most {info.max_length:,}"
    return f"{bound} {unit}"


def _choices(values: Any) -> str:
    return ", ".join(code(str(value)) for value in values)


def _join(*parts: str) -> str:
    return ", ".join(filter(None, parts))
