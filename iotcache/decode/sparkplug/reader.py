"""Sparkplug B messages as readings, and what else they tell: births, deaths, and what is no measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from iotcache.decode.incoming import checked
from iotcache.decode.outcomes import PartlyDecoded, Refused, dead_letter, partly
from iotcache.decode.sparkplug.payload import Sparkplug
from iotcache.decode.sparkplug.protobuf import NotSparkplug
from iotcache.decode.sparkplug.topics import DeviceNaming, Origin, device_name, parse_topic
from iotcache.model import Reading, SenderDeath, Series, Value, same_value
from iotcache.text import printable

_RECENT_LIMIT: Final = 20_000
_PLACES: Final = 1_000
"""Microseconds of a millisecond: times of Sparkplug are no finer, and a metric may change twice in one."""


class BirthWanted(Struct, frozen=True):
    """The births of an edge node are not known."""

    group: str
    node: str
    is_waiting: bool = False
    """The message cannot be read, or not all of it, before they come."""


class Born(Struct, frozen=True):
    """An edge node, or a device of it, sent its birth."""

    group: str
    node: str
    device: str


class PassedOver(Struct, frozen=True):
    """A metric that is no measurement."""

    kind: str
    device: str
    metric: str


SparkplugEvent = BirthWanted | Born | SenderDeath | PassedOver


class SparkplugReader:
    """Reads the messages of one deployment."""

    def __init__(
        self,
        naming: DeviceNaming,
        on_event: Callable[[SparkplugEvent], None],
        *,
        watch_sequence: bool = True,
    ) -> None:
        self._sparkplug = Sparkplug(watch_sequence=watch_sequence)
        self._naming: DeviceNaming = naming
        self._on_event = on_event
        self._recent: dict[tuple[str, str], tuple[int, Value, int]] = {}
        """Time, value and place of the last reading of a series."""

    def read(self, topic: str, payload: bytes, received_us: int) -> list[Reading] | PartlyDecoded:
        """The readings of a message. Raises `Refused`."""
        try:
            origin = parse_topic(topic)
            message = self._sparkplug.read(origin, payload, received_us)
        except NotSparkplug as error:
            raise Refused(f"the payload is no Sparkplug B: {error}") from error
        if message.rebirth:
            self._on_event(BirthWanted(origin.group, origin.node, message.is_waiting))
        if origin.kind.endswith("BIRTH"):
            self._on_event(Born(origin.group, origin.node, origin.device))
        device, problems = device_name(origin, self._naming), message.problems
        for kind, name in message.passed_over:
            self._on_event(PassedOver(kind, device, name))
        if message.died is not None:
            # Names of devices tell which are below an edge node, unless they are all that a name is made of.
            with_below = origin.kind == "NDEATH" and self._naming != "device"
            series = self._series(origin, message.died)
            self._on_event(SenderDeath(received_us, origin.group, device, with_below, series))
        readings: list[Reading] = []
        for metric in message.metrics:
            if metric.ts_ms is None:
                ts_us = received_us
            else:
                ts_us = metric.ts_ms * 1_000 + self._place((device, metric.name), metric.ts_ms, metric.value)
            try:
                reading = checked(
                    device, metric.name, metric.value, ts_us,
                    unit=metric.unit, site=origin.group, seq=None, boot="", received_us=received_us,
                    historical=metric.historical,
                )  # fmt: skip
            except Refused as refused:
                problems.append(f'the metric "{printable(metric.name, 60)}": {refused}')
            else:
                readings.append(reading)
        return partly(
            readings, problems, lambda reason: dead_letter(topic, payload, reason, received_us), "metrics"
        )

    def _place(self, series: tuple[str, str], ts_ms: int, value: Value) -> int:
        """Microseconds that tell values of one millisecond apart, in the order in which they come."""
        known = self._recent.get(series)
        place = 0
        if known is not None and known[0] == ts_ms:
            place = known[2] if same_value(known[1], value) else min(known[2] + 1, _PLACES - 1)
        elif known is None and len(self._recent) >= _RECENT_LIMIT:
            self._recent.clear()
        self._recent[series] = ts_ms, value, place
        return place

    def overdue(self, now_us: int, tolerance_us: int) -> None:
        """Ask for the births of edge nodes of which a message is missing for longer than that."""
        for group, node in self._sparkplug.overdue(now_us, tolerance_us):
            self._on_event(BirthWanted(group, node))

    def _series(self, origin: Origin, died: dict[str, list[str]]) -> list[Series]:
        return [
            Series(device_name(Origin(origin.group, origin.kind, origin.node, device), self._naming), name)
            for device, names in died.items()
            for name in names
        ]
