"""JSON Schemas of files that people write and of documents that commands print, made from their types.

Editors check and complete TOML by them (``#:schema FILE`` at the top: taplo, Even Better TOML).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import GenericAlias
from typing import Any, Final, NamedTuple, get_args

import msgspec

_DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest that taplo reads: of 2020-12 it passes over ``prefixItems``, and so refuses every pair."""


class SchemaSource(NamedTuple):
    """One kind of file that people write, or of document that a command prints."""

    title: str
    module: str
    type: str
    """An attribute of ``module``, or ``list of`` one, or ``object of`` one."""

    def load(self) -> Any:
        wrapped, _, name = self.type.rpartition(" of ")
        kind: Any = getattr(importlib.import_module(self.module), name)
        if wrapped == "list":
            return GenericAlias(list, (kind,))
        return GenericAlias(dict, (str, kind)) if wrapped else kind


_DOCUMENTS: Final = "iotcache_tui.cli.documents"
FILES: Final[dict[str, SchemaSource]] = {
    "config": SchemaSource("config.toml", "iotcache.config.schema", "Settings"),
    "mapping": SchemaSource("a file with mappings of payloads", "iotcache.config.presets", "PresetFile"),
    "device-class": SchemaSource(
        "a class of simulated devices", "iotcache_simulator.fleet.definition", "DeviceClass"
    ),
    "scenario": SchemaSource(
        "a scenario of the Lab", "iotcache_simulator.lab.definition.scenario", "Scenario"
    ),
    "faults": SchemaSource("a file of faults", "iotcache_simulator.faults.schedule", "FaultFile"),
}
"""Files that people write."""
OUTPUTS: Final[dict[str, SchemaSource]] = {
    "advise": SchemaSource("advise --json", _DOCUMENTS, "AdviceDocument"),
    "alerts": SchemaSource("alerts --json, each line", "iotcache.model", "Alert"),
    "bench": SchemaSource("bench --json, each line", _DOCUMENTS, "BenchDocument"),
    "config-keys": SchemaSource("config keys --json", _DOCUMENTS, "list of KeyDocument"),
    "config-show": SchemaSource("config show --json", _DOCUMENTS, "object of SettingDocument"),
    "deadletter-list": SchemaSource("deadletter list --json", _DOCUMENTS, "list of DeadLetterDocument"),
    "deadletter-show": SchemaSource("deadletter show --json, each line", _DOCUMENTS, "DeadLetterDocument"),
    "device-push": SchemaSource("device push --json", _DOCUMENTS, "PushDocument"),
    "device-service": SchemaSource("device retire --json, return --json", _DOCUMENTS, "ServiceDocument"),
    "device-show": SchemaSource("device show --json", _DOCUMENTS, "DeviceDocument"),
    "doctor": SchemaSource("doctor --json", "iotcache_tui.checks.base", "list of Finding"),
    "explain": SchemaSource("explain --json, each line", _DOCUMENTS, "ExplanationDocument"),
    "get": SchemaSource("get --json", _DOCUMENTS, "ReadDocument"),
    "lab-list": SchemaSource("lab list --json", _DOCUMENTS, "list of ScenarioDocument"),
    "lab-report": SchemaSource("lab run --report", "iotcache_simulator.lab.report", "LabReport"),
    "nodes-forecast": SchemaSource("nodes whatif --json, add, remove …", _DOCUMENTS, "NodesForecastDocument"),
    "nodes-list": SchemaSource("nodes list --json", _DOCUMENTS, "NodesDocument"),
    "plan": SchemaSource("plan --json", _DOCUMENTS, "PlanDocument"),
    "simulate": SchemaSource("simulate --report", "iotcache_simulator.report.simulate", "Report"),
    "simulate-readers": SchemaSource(
        "simulate readers --report", "iotcache_simulator.readers.report", "ReadReport"
    ),
    "snapshot": SchemaSource("snapshot --json", "iotcache_tui.cli.snapshot_document", "SnapshotDocument"),
    "stack": SchemaSource("the line of stack", _DOCUMENTS, "StackDocument"),
    "store-stats": SchemaSource("store stats --json", _DOCUMENTS, "StoreDocument"),
    "verify-chaos": SchemaSource("verify chaos --json, --report", _DOCUMENTS, "ChaosDocument"),
    "verify-cluster": SchemaSource(
        "verify cluster --json", "iotcache_simulator.clustersim.run", "SimulationTotals"
    ),
    "warm": SchemaSource("warm --json", _DOCUMENTS, "WarmDocument"),
    "where": SchemaSource("where --json", _DOCUMENTS, "PlacementDocument"),
}
"""Documents that commands print for programs."""
SCHEMAS: Final[dict[str, SchemaSource]] = FILES | OUTPUTS


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 7) of one of `SCHEMAS`; attributes' docstrings are its descriptions."""
    kind = SCHEMAS[name].load()
    made = msgspec.json.schema(kind)
    described = {each.__name__: each for each in _structs(kind)}
    for type_name, definition in made.get("$defs", {}).items():
        if type_name in described and "properties" in definition:
            for key, text in _attribute_texts(described[type_name]).items():
                if key in definition["properties"]:
                    definition["properties"][key].setdefault("description", text)
    if name == "config":
        _add_contexts(made["$defs"])
    _to_draft_7(made)
    return {"$schema": _DIALECT, **made, "title": f"iotcache: {SCHEMAS[name].title}"}


def _add_contexts(definitions: dict[str, Any]) -> None:
    """``[context.NAME]``: any settings, and how the context is shown."""
    from iotcache.config.contexts import ContextColour

    of_context = {
        "color": {"enum": list(get_args(ContextColour)), "description": "Of its name on every screen."},
        "read_only": {
            "type": "boolean",
            "description": "Keep acts that change something away.",
        },
    }
    settings = definitions["Settings"]
    definitions["Context"] = settings | {"properties": settings["properties"] | of_context}
    contexts = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Context"}}
    settings["properties"] = settings["properties"] | {
        "context": contexts | {"description": "Settings by name, chosen by --context NAME."}
    }


def _to_draft_7(node: Any) -> None:
    """Write arrays of a fixed form as draft 7 does, within ``node`` and below."""
    if isinstance(node, dict):
        if "prefixItems" in node:
            node["additionalItems"] = node.get("items", True)
            node["items"] = node.pop("prefixItems")
        for below in node.values():
            _to_draft_7(below)
    elif isinstance(node, list):
        for below in node:
            _to_draft_7(below)


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
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
        if owner.__module__ in sys.modules and owner.__module__.startswith("iotcache"):
            texts |= _texts_by_class(owner.__module__)[owner.__qualname__]
    keys = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return {keys[name]: text for name, text in texts.items() if name in keys}


@cache
def _texts_by_class(module: str) -> dict[str, dict[str, str]]:
    """The docstrings under the attributes of each class of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: dict(_documented(one)) for one in tree.body if isinstance(one, ast.ClassDef)}


def _documented(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, after in pairwise(definition.body):
        match statement, after:
            case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text)))):
                yield name, inspect.cleandoc(text).replace("``", "").replace("`", "").strip()
