"""Each kind of fault, and what it does to a reading on its way out of the device.

Like the waves, faults are pure functions of the device and the time: a faulty stream has one digest, too.
Sizes are parts of the sensor's range, so that one fault fits all sensors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from iotcache.model import Value
from iotcache_simulator.fleet.roster import SensorFunction
from iotcache_simulator.fleet.waves.noise import NORMAL, unit

_MICRO = 1_000_000
Chance = Annotated[float, Meta(gt=0, le=1)]
Seconds = Annotated[float, Meta(gt=0, le=1e7)]
Part = Annotated[float, Meta(ge=-100, le=100)]
"""A part of the sensor's range."""


class Draft(Struct):
    """A reading about to leave its device. Faults change it in the order of the file."""

    value: Value
    shown_us: int
    """The time that its payload shows."""
    sent_us: list[int]
    """When it is sent (virtual time since the start): empty when it never is, twice for a duplicate."""
    seq: int
    reboots: int = 0
    spoiled: bytes | None = None
    """What is sent in place of the payload."""
    spoil: str = ""
    faults: list[str] = []


class FaultContext(Struct, frozen=True):
    """Where a fault strikes: one measurement of one sensor of one device."""

    function: SensorFunction
    device_key: int
    key: int
    """64 bits of this fault at this sensor of this device."""
    t_us: int
    """Virtual time of the measurement, since the Unix epoch."""
    begin_us: int
    """Virtual time at which the fault began."""
    end_us: int
    interval_us: int
    since_end: int
    """Which measurement of the series this is after the fault's end, from 0; negative before it."""

    @property
    def width(self) -> float:
        """The sensor's range, as far as it is known; 1 otherwise."""
        low, high = self.function.sensor.range
        return high - low if high - low < 1e11 else 1.0

    def chance(self, share: float) -> bool:
        """Whether a measurement is one of the ``share`` that are hit."""
        return share >= 1.0 or unit(self.key, self.t_us) < share


class _Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """When a fault begins and ends, and whom it strikes."""

    at_s: Annotated[float, Meta(ge=0)] = 0.0
    for_s: Seconds | None = None
    """``None``: to the end."""
    share: Chance = 1.0
    """The part of the devices named by ``classes`` and ``devices`` that it strikes."""
    classes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    """Empty: all."""

    lasting = False
    """Whether it still matters after its end."""

    def apply(self, draft: Draft, context: FaultContext) -> None:
        raise NotImplementedError


def _shifted(draft: Draft, context: FaultContext, by: float) -> bool:
    if isinstance(draft.value, bool) or not isinstance(draft.value, int | float):
        return False
    precision = context.function.sensor.precision
    value = round(draft.value + by, precision) + 0.0
    draft.value = value if precision else int(value)
    return True


class Dropout(_Fault, frozen=True, tag="dropout"):
    """Readings are never sent."""

    chance: Chance = 1.0

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if context.chance(self.chance):
            draft.sent_us.clear()
            draft.faults.append("dropout")


class Stuck(_Fault, frozen=True, tag="stuck"):
    """The sensor repeats the value that it had when the fault began."""

    def apply(self, draft: Draft, context: FaultContext) -> None:
        draft.value = context.function.measure(context.device_key, context.begin_us)
        draft.faults.append("stuck")


class Spike(_Fault, frozen=True, tag="spike"):
    """Single values far off, up or down; they may leave the sensor's range."""

    chance: Chance = 0.05
    size: Part = 0.5

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if context.chance(self.chance):
            up = 1.0 if unit(~context.key, context.t_us) < 0.5 else -1.0
            if _shifted(draft, context, up * self.size * context.width):
                draft.faults.append("spike")


class Drift(_Fault, frozen=True, tag="drift"):
    """The value wanders off by a part of the range in every minute of the fault."""

    per_minute: Part = 0.02

    def apply(self, draft: Draft, context: FaultContext) -> None:
        minutes = (context.t_us - context.begin_us) / (60 * _MICRO)
        if _shifted(draft, context, self.per_minute * minutes * context.width):
            draft.faults.append("drift")


class Noise(_Fault, frozen=True, tag="noise"):
    """The value scatters; ``size`` is the standard deviation."""

    size: Annotated[float, Meta(gt=0, le=100)] = 0.05

    def apply(self, draft: Draft, context: FaultContext) -> None:
        at = int(unit(context.key, context.t_us) * len(NORMAL))
        if _shifted(draft, context, self.size * context.width * NORMAL[at]):
            draft.faults.append("noise")


class Skew(_Fault, frozen=True, tag="skew"):
    """The device's clock is wrong by ``by_s``."""

    by_s: Annotated[float, Meta(ge=-1e8, le=1e8)]

    def apply(self, draft: Draft, context: FaultContext) -> None:
        draft.shown_us += round(self.by_s * 1_000) * 1_000
        draft.faults.append("skew")


class Late(_Fault, frozen=True, tag="late"):
    """Readings are sent after a delay of up to ``by_s``."""

    by_s: Seconds = 5.0
    chance: Chance = 1.0

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if context.chance(self.chance):
            delay_us = int(self.by_s * _MICRO * (0.5 + 0.5 * unit(~context.key, context.t_us)))
            draft.sent_us = [at + delay_us for at in draft.sent_us]
            draft.faults.append("late")


class OutOfOrder(_Fault, frozen=True, tag="out-of-order"):
    """Some readings are overtaken by the next ``places`` of their series."""

    chance: Chance = 0.1
    places: Annotated[int, Meta(ge=1, le=100)] = 1

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if context.chance(self.chance):
            delay_us = context.interval_us * self.places + context.interval_us // 2
            draft.sent_us = [at + delay_us for at in draft.sent_us]
            draft.faults.append("out-of-order")


class Duplicate(_Fault, frozen=True, tag="duplicate"):
    """Some readings are sent again, ``after_s`` later, with all their bytes."""

    chance: Chance = 0.1
    after_s: Annotated[float, Meta(ge=0, le=1e6)] = 0.0

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if draft.sent_us and context.chance(self.chance):
            draft.sent_us.append(draft.sent_us[0] + round(self.after_s * _MICRO))
            draft.faults.append("duplicate")


class Reboot(_Fault, frozen=True, tag="reboot"):
    """The device is silent for ``for_s``; then it counts from 1 again, under a new boot id."""

    for_s: Seconds = 5.0
    lasting = True

    def apply(self, draft: Draft, context: FaultContext) -> None:
        draft.faults.append("reboot")
        if context.t_us < context.end_us:
            draft.sent_us.clear()
            return
        draft.seq = context.since_end + 1
        draft.reboots += 1


class Malformed(_Fault, frozen=True, tag="malformed"):
    """Payloads that no decoder can take: cut short, not text, or a value of the wrong type."""

    chance: Chance = 0.1
    how: Literal["truncated", "garbage", "type", "any"] = "any"

    def apply(self, draft: Draft, context: FaultContext) -> None:
        if context.chance(self.chance):
            ways = ("truncated", "garbage", "type")
            draft.spoil = self.how if self.how != "any" else ways[int(unit(~context.key, context.t_us) * 3)]
            draft.faults.append("malformed")


class _PushFault(_Fault, frozen=True):
    """Of a device that listens: readings stay as they are."""

    def apply(self, draft: Draft, context: FaultContext) -> None:
        """Nothing: it is asked for by whoever gets what is pushed."""


class IgnorePush(_PushFault, frozen=True, tag="ignore-push"):
    """Configurations and commands are passed over without a word."""

    chance: Chance = 1.0


class DelayPush(_PushFault, frozen=True, tag="delay-push"):
    """They are followed, and reported, ``by_s`` later."""

    by_s: Seconds = 5.0


class HalfApply(_PushFault, frozen=True, tag="half-apply"):
    """Of a configuration every other interval takes hold; the device reports its version all the same."""


Fault = (
    Dropout | Stuck | Spike | Drift | Noise | Skew | Late | OutOfOrder | Duplicate | Reboot | Malformed
    | IgnorePush | DelayPush | HalfApply
)  # fmt: skip
PUSH_FAULTS = (IgnorePush, DelayPush, HalfApply)
FAULT_KINDS = tuple(str(fault.__struct_config__.tag) for fault in Fault.__args__)


def spoil(payload: bytes, how: str, key: int) -> bytes:
    """The payload as a broken device sends it."""
    if how == "truncated":
        return payload[: 1 + int(unit(key) * (len(payload) - 2))]
    if how == "garbage":
        return b"\xff\x00\xfe" + bytes(255 - byte for byte in payload[:40])
    head, mark, rest = payload.partition(b'"value":')
    return head + mark + b"{}" + rest[rest.find(b",") :] if mark else b"{}"
