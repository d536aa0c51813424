"""JSON Schemas of the files that people write, made from the very types that read them.

Editors check and complete TOML by them (``#:schema FILE`` in the first line: taplo, Even Better TOML).
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any, Final

import msgspec

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _config() -> type[msgspec.Struct]:
    from iotcache.config.schema import Settings

    return Settings


def _device_class() -> type[msgspec.Struct]:
    from iotcache_simulator.fleet.definition import DeviceClass

    return DeviceClass


def _scenario() -> type[msgspec.Struct]:
    from iotcache_simulator.lab.definition.scenario import Scenario

    return Scenario


SCHEMAS: Final[dict[str, tuple[str, Callable[[], type[msgspec.Struct]]]]] = {
    "config": ("iotcache: config.toml", _config),
    "device-class": ("iotcache: a class of simulated devices", _device_class),
    "scenario": ("iotcache: a scenario of the Lab", _scenario),
}
"""Title and type of each kind of file."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of `SCHEMAS`; attributes' docstrings are its descriptions."""
    title, kind_of = SCHEMAS[name]
    kind = kind_of()
    made = msgspec.json.schema(kind)
    described = {each.__name__: each for each in _structs(kind)}
    for type_name, definition in made["$defs"].items():
        if type_name in described and "properties" in definition:
            for key, text in _attribute_texts(described[type_name]).items():
                if key in definition["properties"]:
                    definition["properties"][key].setdefault("description", text)
    return {"$schema": _DIALECT, **made, "title": title}


def _structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """A struct, all those within it, and what their keys are named in a file."""
    seen: set[type] = set()
    waiting: list[Any] = [msgspec.inspect.type_info(kind)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls in seen:
                continue
            seen.add(node.cls)
            yield node.cls
            waiting += [field.type for field in node.fields]
        for within in ("types", "item_types"):
            waiting += getattr(node, within, ())
        waiting += [getattr(node, one) for one in ("item_type", "value_type", "type") if hasattr(node, one)]


def _attribute_texts(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring under each attribute of a struct and of its bases, by the key's name in a file."""
    texts: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__ not in sys.modules or not owner.__module__.startswith("iotcache"):
            continue
        (definition,) = ast.parse(dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, after in zip(definition.body, definition.body[1:], strict=False):
            match statement, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = inspect.cleandoc(text).replace("``", "").replace("`", "").strip()
    keys = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return {keys[name]: text for name, text in texts.items() if name in keys}
