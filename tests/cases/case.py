"""A message of somebody else's fleet, and what is right to make of it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """One message."""

    name: str
    topic: str
    payload: bytes
    readings: list[tuple[str, str, Any, str]]
    """Device, sensor, value and unit of each that is stored by it."""
    dead: str = ""
    """What the reason of its dead letter holds; empty when it has none."""
    mapping: str = ""
    """The mapping in `MAPPINGS` that it needs; others are read without."""
