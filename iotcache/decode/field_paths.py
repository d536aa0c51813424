"""Where a foreign payload keeps what a reading needs: paths such as ``data.v``, constants, a time's form.

Pure: from a decoded JSON or CBOR payload to the fields that `iotcache.decode.decoder` knows. docs/payloads.md
has the rules and examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from iotcache.decode.limits import DEPTH_LIMIT
from iotcache.text import printable

TimeUnit = Literal["auto", "s", "ms", "us", "ns", "rfc3339", "utc"]


class FieldPaths(Struct, frozen=True, kw_only=True):
    """Where a payload keeps what a reading needs; the defaults are those of the default payload."""

    readings: str = ""
    """Path of the array of readings; empty: the payload is one reading, or an array of them."""
    value: str = "value"
    ts: str = "ts"
    ts_unit: TimeUnit = "auto"
    device: str = "device"
    sensor: str = "sensor"
    site: str = "site"
    unit: str = "unit"
    seq: str = "seq"
    boot: str = "boot"


NAMES: Final = ("value", "ts", "device", "sensor", "site", "unit", "seq", "boot")
"""The fields of a reading, as the default payload calls them."""
_TEXTS: Final = frozenset({"device", "sensor", "site", "unit", "boot"})
_STEP: Final = re.compile(r"(?:^|\.)([^.\[\]'=$*\s][^.\[\]'*]*)|\[(-?[0-9]{1,6})\]|\['([^']+)'\]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_UNIT: Final = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}

Step = str | int
ALLOWED: Final = "a path such as data.v, list[0].v, $.meta.time or ['a.b'], a constant such as =C, or empty"


class NotThere(ValueError):
    """A payload that does not hold what the paths promise; the text is safe to show."""


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path: texts for names, numbers for places in an array. Raises `ValueError`."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        # A name that follows a bracket has a dot before it; one at the very start has none.
        if found is None or (at and found[1] is not None and text[at] != "."):
            raise ValueError(ALLOWED)
        if at == 0 and text[0] == ".":
            raise ValueError(ALLOWED)
        name, place, quoted = found.groups()
        steps.append(int(place) if place is not None else quoted if quoted is not None else name)
        at = found.end()
    if not steps or len(steps) > DEPTH_LIMIT:
        raise ValueError(ALLOWED)
    return tuple(steps)


def check_path(text: str) -> None:
    """Raises `ValueError` with what is allowed for a field that is no path, constant or empty text."""
    if text and not text.startswith("="):
        parse_path(text.removeprefix("$."))


def check_value(text: str) -> None:
    """As `check_path`, for the value's own path, which may end in ``*`` and must not be empty."""
    if text.removeprefix("$.") != "*":
        if not text or text.startswith("="):
            raise ValueError("a path such as data.v, or one that ends in .* for each member's value")
        check_path(text.removesuffix(".*"))


_FieldPath = tuple[str, str, bool, tuple[Step, ...]]
"""A field's name, its path as written, whether that begins at the whole payload, and its steps."""


class FieldReader:
    """Reads one deployment's payloads by its paths.

    Raises `ValueError` for paths that cannot be used; settings are checked before they come here.
    """

    def __init__(self, fields: FieldPaths) -> None:
        value = fields.value
        self._each = value == "*" or value.endswith(".*")
        """Whether the value's path names an object of which every member is a reading."""
        if self._each:
            value = value[:-1].removesuffix(".")
        self._at_readings = parse_path(fields.readings) if fields.readings else ()
        self._constants: dict[str, str] = {}
        self._paths: list[_FieldPath] = []
        self._value = _split(value)
        self._value_text = fields.value
        for name in NAMES[1:]:
            text: str = getattr(fields, name)
            if text.startswith("="):
                self._constants[name] = text[1:]
            elif text:
                self._paths.append((name, text, *_split(text)))
        if self._each and "sensor" not in self._constants:
            self._paths = [one for one in self._paths if one[0] != "sensor"]
        self._whole = not self._at_readings and any(
            steps and isinstance(steps[0], int)
            for steps in (self._value[1], *(path[3] for path in self._paths if not path[2]))
        )
        """Whether a payload that is an array is itself the record: its paths begin with a place in it."""
        self._ts_unit = fields.ts_unit

    def records(self, root: Any, limit: int) -> Iterator[dict[str, Any]]:
        """The fields of each reading in a payload, under the names of the default one. Raises `NotThere`."""
        found = _follow(root, self._at_readings)
        if found is None:
            raise NotThere(f'the payload has nothing at "{_shown(self._at_readings)}"')
        many = found if isinstance(found, list) and not self._whole else [found]
        if len(many) > limit:
            raise NotThere(f"it holds {len(many):,} readings; {limit:,} are allowed")
        count = 0
        for record in many:
            for fields in self._record(root, record):
                count += 1
                if count > limit:
                    raise NotThere(f"it holds more than {limit:,} readings")
                yield fields

    def _record(self, root: Any, record: Any) -> Iterator[dict[str, Any]]:
        fields: dict[str, Any] = dict(self._constants)
        for name, text, from_root, steps in self._paths:
            found = _follow(root if from_root else record, steps)
            if found is None:
                continue
            if name in _TEXTS:
                found = _text(found, text)
            elif name == "ts":
                found = self._time(found, text)
            fields[name] = found
        from_root, steps = self._value
        value = _follow(root if from_root else record, steps)
        if value is None:
            raise NotThere(f'the payload has nothing at "{printable(self._value_text, 100)}"')
        if not self._each:
            if isinstance(value, dict | list):
                raise NotThere(f'what stands at "{printable(self._value_text, 100)}" is {_kind(value)}')
            yield {**fields, "value": value}
            return
        if not isinstance(value, dict):
            raise NotThere(f'what "{printable(self._value_text, 100)}" asks for is no object')
        taken = {
            path[-1] for _, _, at_root, path in self._paths if (at_root, path[:-1]) == (from_root, steps)
        }
        for member, one in value.items():
            if one is not None and member not in taken and not isinstance(one, dict | list):
                yield {**fields, "sensor": str(member), "value": one}

    def _time(self, found: Any, text: str) -> Any:
        """A time in a form that the default payload may have."""
        unit = self._ts_unit
        if unit == "utc" and isinstance(found, str):
            try:
                naive = datetime.fromisoformat(found)
            except ValueError:
                raise NotThere(f'the time at "{printable(text, 100)}" is not ISO 8601') from None
            return naive if naive.tzinfo else naive.replace(tzinfo=UTC)
        if unit in ("rfc3339", "utc"):
            if isinstance(found, str | datetime):
                return found
            raise NotThere(f'the time at "{printable(text, 100)}" is {_kind(found)}, no text')
        if isinstance(found, str) and len(found) <= 40:
            try:
                found = float(found) if "." in found or "e" in found else int(found)
            except ValueError:
                if unit != "auto":
                    raise NotThere(f'the time at "{printable(text, 100)}" is no number') from None
        if unit == "auto":
            return found
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotThere(f'the time at "{printable(text, 100)}" is {_kind(found)}, no number')
        try:
            if isinstance(found, int) and unit == "ns":
                found //= 1_000
                return _EPOCH + timedelta(microseconds=found)
            return _EPOCH + timedelta(microseconds=round(found * _US_PER_UNIT[unit]))
        except (OverflowError, ValueError):
            raise NotThere("its time is past anything a clock shows") from None


def reader_for(fields: FieldPaths) -> FieldReader | None:
    """A reader, or ``None`` where the default payload is meant, which is read a faster way."""
    return None if fields == FieldPaths() else FieldReader(fields)


def _split(text: str) -> tuple[bool, tuple[Step, ...]]:
    """Whether a path begins at the payload itself, not at the record, and its steps."""
    from_root = text == "$" or text.startswith("$.")
    text = text.removeprefix("$").removeprefix(".") if from_root else text
    return from_root, parse_path(text) if text else ()


def _follow(place: Any, steps: tuple[Step, ...]) -> Any:
    """What is at the end of a path; ``None`` when there is nothing, or a null."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(place, Mapping):
                return None
            place = place.get(step)
        else:
            if not isinstance(place, list) or not -len(place) <= step < len(place):
                return None
            place = place[step]
    return place


def _text(found: Any, text: str) -> str:
    """A name; numbers are taken for names too, as many fleets number their devices."""
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 64:
        return str(found)
    raise NotThere(f'what stands at "{printable(text, 100)}" is {_kind(found)}, no name')


def _kind(found: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "a truth value"}
    return kinds.get(type(found), "a number" if isinstance(found, int | float) else "something else")


def _shown(steps: tuple[Step, ...]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return printable(text.removeprefix("."), 100)
