"""One reading as devices write it, checked and made a `Reading` that every store and the cache can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from iotcache.clock import utc_text
from iotcache.decode.limits import BOOT_LIMIT, DEPTH_LIMIT, NAME_LIMIT, TEXT_LIMIT, UNIT_LIMIT, is_too_deep
from iotcache.decode.outcomes import Refused
from iotcache.decode.topics import TopicNames
from iotcache.model import Reading, Value
from iotcache.text import printable

EARLIEST_US: Final = 946_684_800_000_000
"""2000-01-01: devices that were never told the time begin in 1970 or 1980."""
AHEAD_LIMIT_US: Final = 86_400_000_000
"""A day: past any time zone taken for UTC. A reading from the future would stay the newest until then."""
_INT64: Final = 1 << 63
_MICROSECONDS: Final = 100_000_000_000_000
_NANOSECONDS: Final = 100_000_000_000_000_000
"""A time from here on is one in microseconds, and one in nanoseconds."""
_is_finite: Final = math.isfinite
_SHORT_TEXTS: Final = min(NAME_LIMIT, UNIT_LIMIT, BOOT_LIMIT)
"""Texts that are no longer, all taken together, need not be looked at one by one."""
_Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
_Seq = Annotated[int, Meta(ge=0, le=_INT64 - 1)]
_Time = int | float | Annotated[datetime, Meta(tz=True)]


class Incoming(Struct, frozen=True, gc=False):
    """A reading as devices write it in JSON; what is left out, the topic or the receipt says."""

    value: float | int | bool | Annotated[str, Meta(max_length=TEXT_LIMIT)]
    ts: _Time | None = None
    device: _Name | None = None
    sensor: _Name | None = None
    unit: Annotated[str, Meta(max_length=UNIT_LIMIT)] | None = None
    seq: _Seq | None = None
    boot: Annotated[str, Meta(max_length=BOOT_LIMIT)] | int | None = None
    site: Annotated[str, Meta(max_length=NAME_LIMIT)] | None = None


NO_NAMES: Final = TopicNames()
"""Of a payload that comes without a topic, or names everything itself."""


def readings_of(many: Sequence[Incoming], names: TopicNames, received_us: int) -> list[Reading]:
    """The readings of a message. Those without a time are a microsecond apart: they are not the same."""
    return [reading_of(one, names, received_us + n) for n, one in enumerate(many)]


def reading_of(one: Incoming, names: TopicNames, received_us: int) -> Reading:
    """One reading, with what the topic names; both must not contradict. Raises `Refused`."""
    device, sensor, site, ts, value, boot = (
        names.device,
        names.sensor,
        names.site,
        one.ts,
        one.value,
        one.boot,
    )
    unit = names.unit if one.unit is None else one.unit
    ts_us = ts if type(ts) is int and _MICROSECONDS <= ts < _NANOSECONDS else epoch_us(ts, received_us)
    if boot is None:
        boot = ""
    # Runs for every reading. In the usual case the topic names all, and was looked at when it first came.
    if (
        one.device is None and one.sensor is None and one.site is None and device and sensor
        and not names.unit and type(boot) is str and "\0" not in boot and "\0" not in unit
        and EARLIEST_US <= ts_us <= received_us + AHEAD_LIMIT_US
        and type(value) is float and _is_finite(value)
    ):  # fmt: skip
        return Reading(device, sensor, value, ts_us, unit, site, one.seq, boot, received_us)
    if one.device is not None and one.device != device:
        if device:
            raise Refused(contradiction("device", one.device, device))
        device = one.device
    if one.sensor is not None and one.sensor != sensor:
        if sensor:
            raise Refused(contradiction("sensor", one.sensor, sensor))
        sensor = one.sensor
    if one.site is not None and one.site != site:
        if site:
            raise Refused(contradiction("site", one.site, site))
        site = one.site
    return checked(
        device, sensor, value, ts_us,
        unit=unit, site=site, seq=one.seq, boot=boot if isinstance(boot, str) else str(boot),
        received_us=received_us,
    )  # fmt: skip


def check_depth(payload: bytes) -> None:
    """Raises `Refused` for JSON that is nested too deeply, also in what is of no interest here: how deep the
    library reads depends on who calls it."""
    if is_too_deep(payload):
        raise too_deep()


def too_deep() -> Refused:
    """Why JSON that `is_too_deep` is refused."""
    return Refused(f"the JSON is nested deeper than {DEPTH_LIMIT} objects and arrays")


def checked(
    device: str, sensor: str, value: Value, ts_us: int, *,
    unit: str, site: str, seq: int | None, boot: str, received_us: int, historical: bool = False,
) -> Reading:  # fmt: skip
    """A reading that every store and the cache can hold. Raises `Refused`."""
    if not device or not sensor:
        missing = "device" if not device else "sensor"
        raise Refused(f"neither the topic nor the payload names a {missing}")
    if ts_us < EARLIEST_US:
        raise Refused(f"its time is {_shown(ts_us)}: a device clock that was never set")
    if ts_us > received_us + AHEAD_LIMIT_US:
        ahead_d = (ts_us - received_us) / 86_400_000_000
        raise Refused(
            f"its time is {_shown(ts_us)}, {ahead_d:,.1f} days after it came in: a device clock that is wrong"
        )
    if type(value) is float:
        if not math.isfinite(value):
            raise Refused(f"the value is {value}, which is no measurement")
    elif type(value) is int:
        if not -_INT64 <= value < _INT64:
            value = _as_float(value)
    elif type(value) is str:
        if len(value) > TEXT_LIMIT:
            raise Refused(f"the value has {len(value):,} characters; {TEXT_LIMIT:,} are allowed")
        if "\0" in value:
            raise Refused("the value contains a NUL character")
    texts = "".join((device, sensor, unit, site, boot))  # `TypeError` for what is no text
    if len(texts) > _SHORT_TEXTS or "\0" in texts:
        _check_texts(device, sensor, unit=unit, site=site, boot=boot)
    return Reading(device, sensor, value, ts_us, unit, site, seq, boot, received_us, 0.0, historical)


def _check_texts(device: str, sensor: str, *, unit: str, site: str, boot: str) -> None:
    if len(device) > NAME_LIMIT or len(sensor) > NAME_LIMIT or len(site) > NAME_LIMIT:
        raise Refused(
            f"a name has {max(map(len, (device, sensor, site))):,} characters; {NAME_LIMIT} are allowed"
        )
    if len(unit) > UNIT_LIMIT or len(boot) > BOOT_LIMIT:
        what, size, limit = "unit", len(unit), UNIT_LIMIT
        if len(boot) > BOOT_LIMIT:
            what, size, limit = "boot identifier", len(boot), BOOT_LIMIT
        raise Refused(f"the {what} has {size:,} characters; {limit} are allowed")
    if "\0" in device or "\0" in sensor or "\0" in unit or "\0" in site or "\0" in boot:
        raise Refused("a name, unit or boot identifier contains a NUL character")


def epoch_us(ts: float | datetime | None, received_us: int) -> int:
    """Microseconds since the epoch of a time in any form that devices use.

    A number's unit is told by its size: below 1e11 seconds (until the year 5138), below 1e14
    milliseconds, below 1e17 microseconds, else nanoseconds. Raises `Refused` when it is not finite.
    """
    if ts is None:
        return received_us
    if isinstance(ts, datetime):
        return round(ts.timestamp() * 1e6)
    size = abs(ts)
    if size < 1e11:
        return round(ts * 1_000_000)
    if size < _MICROSECONDS:
        return round(ts * 1_000)
    if size < _NANOSECONDS:
        return round(ts)
    if size < 1e20:
        return int(ts) // 1_000
    raise Refused("its time is past anything a clock shows")


def _shown(ts_us: int) -> str:
    return utc_text(ts_us)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Refused("the value is too large for a number") from None


def contradiction(what: str, payload_says: str, topic_says: str) -> str:
    """That a payload names another device, sensor or site than its topic."""
    theirs, ours = printable(payload_says, 60), printable(topic_says, 60)
    return f"the payload names {what} '{theirs}', its topic '{ours}'"
