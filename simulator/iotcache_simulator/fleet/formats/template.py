"""Texts with fields, as other people's fleets write topics and payloads, and how to read them back.

A field is ``{name}``, with what it takes behind a colon: ``{value:temperature}`` is another sensor's value,
``{ts:%Y-%m-%d %H:%M:%S}`` a time in that form, ``{value:switch?ON:OFF}`` a truth value in these words. Braces
that hold no field, as those of JSON do, stand for themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from iotcache.errors import ConfigError

FIELDS: Final = (
    "device", "site", "class", "number", "sensor", "value", "json", "unit", "values", "ts", "ts_ms", "seq",
    "boot",
)  # fmt: skip
OF_SENSOR: Final = frozenset({"value", "json", "unit"})
_FIELD: Final = re.compile(r"\{([a-z_]+)(?::([^{}?]*))?(?:\?([^{}:?]*):([^{}:?]*))?\}")
_US_OF: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
_TIMES: Final = ("rfc3339", "iso", "s", "s.ms", "ms", "us", "ns")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Field(Struct, frozen=True):
    """One field of a template."""

    name: str
    arg: str = ""
    on: str | None = None
    """With ``off``: the words for true and false."""
    off: str | None = None

    @property
    def sensor(self) -> str:
        """The sensor that it names; empty: the one that the message is of."""
        return self.arg if self.name in OF_SENSOR else ""

    @property
    def key(self) -> str:
        return f"{self.name}:{self.arg}"


class Template:
    """A text, cut into literal parts and fields."""

    def __init__(self, text: str, where: str = "the template", zone: tzinfo = UTC) -> None:
        """``where`` names it in complaints. Raises `ConfigError`."""
        self.text = text
        self.zone = zone
        self.parts: list[str | Field] = []
        at = 0
        for found in _FIELD.finditer(text):
            self.parts += [text[at : found.start()], _field(found, where)]
            at = found.end()
        self.parts.append(text[at:])
        self.fields = tuple(part for part in self.parts if isinstance(part, Field))
        self.names = frozenset(field.name for field in self.fields)
        self.sensors = tuple(dict.fromkeys(field.sensor for field in self.fields if field.sensor))
        """Those that it names."""
        self._regex: re.Pattern[str] | None = None

    @property
    def time(self) -> Field | None:
        """The field that tells when its readings were measured."""
        return next((field for field in self.fields if field.name in ("ts", "ts_ms")), None)

    def fill(self, fill: Callable[[Field], str]) -> str:
        """The text with each field as ``fill`` says."""
        return "".join(part if isinstance(part, str) else fill(part) for part in self.parts)

    def read(self, text: str) -> dict[str, str] | None:
        """What the fields of a filled text hold, by their `Field.key`; ``None`` for any other text."""
        if self._regex is None:
            pieces = [re.escape(part) if isinstance(part, str) else _pattern(part) for part in self.parts]
            self._regex = re.compile("".join(pieces), re.DOTALL)
        found = self._regex.fullmatch(text)
        if found is None:
            return None
        held: dict[str, str] = {}
        for field, group in zip(self.fields, found.groups(), strict=True):
            if held.setdefault(field.key, group) != group:
                return None
        return held

    def shown_time(self, us: int) -> str:
        """A time as its field shows it."""
        assert self.time is not None
        return time_text(self.time, us, self.zone)

    def time_read(self, text: str) -> int | None:
        """The time (µs since the Unix epoch) that a field's text shows; ``None`` for no such text."""
        assert self.time is not None
        form = "ms" if self.time.name == "ts_ms" else self.time.arg or "rfc3339"
        try:
            if form in _US_OF:
                return int(text) * _US_OF[form]
            if form == "s.ms":
                return round(float(text) * 1_000) * 1_000
            if form == "ns":
                return int(text) // 1_000
            moment = datetime.fromisoformat(text) if "%" not in form else datetime.strptime(text, form)
            if moment.tzinfo is None:
                if "%" not in form:
                    return None
                moment = moment.replace(tzinfo=self.zone)
            return (moment - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            return None


def _field(found: re.Match[str], where: str) -> Field:
    field = Field(found[1], found[2] or "", found[3], found[4])
    if field.name not in FIELDS:
        raise ConfigError(f"{where}: there is no field {{{field.name}}}; there are {', '.join(FIELDS)}")
    if field.name == "ts" and field.arg and field.arg not in _TIMES and "%" not in field.arg:
        raise ConfigError(
            f"{where}: {{ts:{field.arg}}} is no form of a time: there are {', '.join(_TIMES)}, "
            "and forms such as %Y-%m-%d"
        )
    if field.arg and field.name not in OF_SENSOR and field.name not in ("ts", "number"):
        raise ConfigError(f"{where}: {{{field.name}}} takes nothing behind a colon")
    if field.name == "number" and field.arg and not NUMBER_FORM.fullmatch(field.arg):
        raise ConfigError(
            f"{where}: {{number:{field.arg}}}: a number is written as in {{number:04d}} or {{number:016x}}"
        )
    if field.on is not None and field.name != "value":
        raise ConfigError(f"{where}: only {{value}} has words for true and false, as in {{value?ON:OFF}}")
    return field


NUMBER_FORM: Final = re.compile(r"0?[0-9]{1,2}[dxX]")


def time_text(field: Field, us: int, zone: tzinfo) -> str:
    """A time as a field shows it."""
    form = "ms" if field.name == "ts_ms" else field.arg or "rfc3339"
    if form in _US_OF:
        return str(us // _US_OF[form])
    if form == "s.ms":
        return f"{us // 1_000_000}.{us // 1_000 % 1_000:03d}"
    if form == "ns":
        return str(us * 1_000)
    moment = _EPOCH + timedelta(microseconds=us)
    if form == "rfc3339":
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    moment = moment.astimezone(zone)
    return moment.isoformat(timespec="milliseconds") if form == "iso" else moment.strftime(form)


def value_text(field: Field, text: str) -> str:
    """A value as a field shows it. ``text``: as JSON has it; ``null`` where there is none."""
    if field.name == "json" or text == "null":
        return text
    if field.on is not None and text in ("true", "false"):
        return field.on if text == "true" else field.off or ""
    return str(json.loads(text)) if text.startswith('"') else text


def value_read(field: Field, text: str) -> float | bool | str | None:
    """The value that a field's text shows, a text where it is none of JSON; ``None`` for ``null``."""
    if field.on is not None and text in (field.on, field.off):
        return text == field.on
    if field.on is not None:
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, str):
        return found if field.name == "json" else text
    return found if found is None or isinstance(found, bool | int | float) else text


def _pattern(field: Field) -> str:
    """What may stand in a field's place."""
    if field.name in ("device", "site", "class", "number"):
        return r"([^/]+?)"
    if field.name == "seq":
        return r"(\d+)"
    return r"(\{.*?\})" if field.name == "values" else r"(.*?)"


def object_text(texts: Mapping[str, str]) -> str:
    """A JSON object of values that are JSON texts."""
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}"


def fields_named(templates: Iterator[Template]) -> frozenset[str]:
    """The names of all fields of some templates."""
    return frozenset().union(*(template.names for template in templates))
