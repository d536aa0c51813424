"""An observation of the advisor as a JSON document; its fields are in docs/advisor.md."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from iotcache.advisor.curves import ring_curve
from iotcache.advisor.hot_keys import HotKey
from iotcache.text import printable_bytes
from iotcache.traffic.observation import Observation

SCHEMA = "iotcache.advice/1"


def document(observed: Observation) -> dict[str, Any]:
    """Plain values only; keys of items as printable text."""
    evidence = observed.evidence
    nodes = []
    for node in evidence.nodes:
        fields = to_builtins(node)
        fields["top_gets"] = [_key(one) for one in node.top_gets]
        fields["hit_ratio"] = node.hit_ratio
        nodes.append(fields)
    return {
        "schema": SCHEMA,
        "seconds": evidence.seconds,
        "skipped": evidence.skipped,
        "notes": list(observed.notes),
        "advice": to_builtins(observed.advice),
        "checked": [{**to_builtins(one), "text": one.text, "error": one.error} for one in observed.checked],
        "nodes": nodes,
        "ring": to_builtins(
            ring_curve([(node.curve, node.gets_per_s) for node in evidence.nodes if node.curve is not None])
        ),
        "groups": to_builtins(evidence.groups),
        "top": {
            "gets": [_key(one) for one in observed.top_gets],
            "misses": [_key(one) for one in observed.top_misses],
            "sets": [_key(one) for one in observed.top_sets],
            "bytes": [_key(one) for one in observed.top_bytes],
            "prefixes": [_key(one) for one in evidence.prefixes],
        },
    }


def _key(one: HotKey) -> dict[str, Any]:
    return {"key": printable_bytes(one.key, 300), "count": one.count, "error": one.error}
