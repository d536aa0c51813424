"""A read as the one JSON object that scripts rely on, wherever it is given out."""

from __future__ import annotations

import math

from iotcache.clock import utc_text
from iotcache.model import Read


def read_fields(read: Read) -> dict[str, object]:
    """The fields of ``iotcache-tui get --json`` and of the gateway's read.

    ``value`` is null when it is no finite number (JSON has no word for it), ``ttl_s`` when the entry has no
    end or is not there. ``stale`` is there, and true, once the edge node or device said that it is gone.
    """
    value = read.value
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    fields: dict[str, object] = {
        "device": read.device,
        "sensor": read.sensor,
        "value": value,
        "unit": read.unit,
        "ts": utc_text(read.ts_us),
        "source": read.source.value,
        "node": read.node,
        "ttl_s": read.ttl_s if read.ttl_s is not None and math.isfinite(read.ttl_s) else None,
        "miss_reason": read.miss_reason.value if read.miss_reason else None,
        "latency_ms": round(read.latency_ms, 3),
    }
    return fields | {"stale": True} if read.stale else fields
