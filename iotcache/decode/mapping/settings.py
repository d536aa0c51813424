"""What a configuration can say of payloads: ``[ingest.fields]`` and each ``[[ingest.mapping]]``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from iotcache.decode.limits import DEPTH_LIMIT

TimeUnit = Literal["auto", "s", "ms", "us", "ns", "rfc3339", "utc"]
Scalar = bool | int | float | str


class FieldPaths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a payload keeps what a reading needs; the defaults are those of the default payload.

    A field is a path (``data.v``), several of which the first that is there counts (``a | b``), a constant
    (``=C``), or nothing (an empty text). Names and times may be made of several (``{model}-{id}``).
    """

    readings: str = ""
    """Path of the array of readings; empty: the payload is one reading, or an array of them."""
    value: str = "value"
    """Ends in ``*`` where every member is a reading, its name the sensor."""
    depth: Annotated[int, Meta(ge=1, le=DEPTH_LIMIT)] = 8
    """How far below a ``*`` objects and arrays are looked into; names are joined by ``/``."""
    ts: str = "ts"
    ts_unit: TimeUnit = "auto"
    zone: str = ""
    """The time zone of times without one: a name such as Europe/Berlin, or "local"."""
    device: str = "device"
    sensor: str = "sensor"
    site: str = "site"
    unit: str = "unit"
    seq: str = "seq"
    boot: str = "boot"
    quoted_numbers: bool = False
    """Whether a text that is a number as JSON writes it is that number."""


class IngestMapping(FieldPaths, frozen=True, kw_only=True):
    """One mapping: which messages it is for, and how they are read. What it does not name is not read."""

    name: str = ""
    """What ``explain`` calls it."""
    topic: str | tuple[str, ...]
    """Its topic template, or a list of them."""
    when: dict[str, Scalar] = {}
    """Paths and what must be there for the mapping to be tried; ``"*"`` for anything but null."""
    where: dict[str, Scalar] = {}
    """Paths and what must be there in a record: others of its array are left out."""
    bare: bool = False
    """Whether it is for payloads that are a value alone, and for no objects and arrays."""
    pass_over: bool = False
    """Whether such messages are as they should be, and carry no reading."""
    announces: Literal["", "unit", "homie", "home-assistant"] = ""
    """Which form messages have that carry no reading and tell the units of others."""
    on_missing: Literal["next", "dead_letter", "pass_over"] = "next"
    """What becomes of a message that has nothing at the value's path."""
    value: str = "*"
    ts: str = ""
    device: str = ""
    sensor: str = ""
    site: str = ""
    unit: str = ""
    seq: str = ""
    boot: str = ""
    each_ts: str = ""
    """The name of a member that holds the time of the values beside and below it; it goes before `ts`."""
    quoted_numbers: bool = True
    quoted_units: bool = False
    """Whether a text that is a number and a unit, such as ``21.5 °C``, is that number with that unit."""
    units: dict[str, str] = {}
    """Sensors and their units. A name without ``/`` is the last part of a sensor's; ``*`` stands for any
    text. ``{path}`` in a unit is read from the payload."""
    states: dict[str, Scalar] = {}
    """Texts and what is stored for them: ``ON = true``."""
    ignore: tuple[str, ...] = ()
    """Sensors that are left out, written as in `units`."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Its topic templates."""
        return (self.topic,) if isinstance(self.topic, str) else self.topic
