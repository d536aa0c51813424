"""What a command printed for programs, held to its schema more strictly than the schema itself is."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from iotcache_tui.cli.schemas import schema


def _closed(node: Any) -> Any:
    """Nothing but what is described: a field that was forgotten in the schema is a mistake of ours."""
    if isinstance(node, dict):
        closed = {"additionalProperties": False} if "properties" in node else {}
        return {**closed, **{key: _closed(below) for key, below in node.items()}}
    return [_closed(one) for one in node] if isinstance(node, list) else node


@cache
def _validator(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(_closed(schema(name)))


def conforming(name: str, text: str | bytes) -> Any:
    """The document in ``text``, which conforms to the schema ``name``."""
    document = json.loads(text)
    _validator(name).validate(document)
    return document
