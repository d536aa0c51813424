"""A fleet written to a file, without a broker: its messages as a recording, or its readings as a table."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from iotcache.clock import utc_text
from iotcache.private_files import private_opener
from iotcache.text import printable
from iotcache_simulator.capture.recording import SCHEMA, Header, recorded
from iotcache_simulator.fleet.rendering.group import FOREVER_US
from iotcache_simulator.fleet.stream import Message, Timeline
from iotcache_simulator.publish.partition import PublishTotals
from iotcache_simulator.publish.plan.digest import StreamDigest
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of, stream_of
from iotcache_simulator.publish.run import RunOutcome, report_of
from iotcache_simulator.wire.connection import BrokerTarget

TABLE: Final = ".csv"
RECORDINGS: Final = (".ndjson", ".jsonl")
_COLUMNS: Final = ("timestamp", "site", "device", "sensor", "value", "unit", "seq", "boot")
_WINDOW_US: Final = 250_000


class FleetFile:
    """One run into a file."""

    def __init__(self, spec: FleetSpec, file: Path) -> None:
        """``file`` ends in `TABLE` or one of `RECORDINGS`."""
        self._spec = msgspec.structs.replace(spec, speed=math.inf, processes=1)
        self._file = file
        self._stopped = False

    def stop(self) -> None:
        """End the run early and cleanly."""
        self._stopped = True

    async def run(self) -> RunOutcome:
        """Write all of it. A file that takes no more is told in the outcome.

        Raises `OSError` when it cannot be opened."""
        spec, began_s = self._spec, time.time()
        timeline = spec.timeline(int(began_s * 1e6))
        roster = roster_of(spec)
        stream, digest = stream_of(spec, roster, timeline, shards=spec.own_lanes), StreamDigest(len(roster))
        form: _Form = _Table(spec, timeline) if self._file.suffix == TABLE else _Recording(spec, timeline)
        at_us, count, written, failure = 0, 0, 0, ""
        with open(self._file, "wb", opener=private_opener) as out:  # noqa: ASYNC230  # nothing else runs
            lines = form.head()
            end_us = timeline.end_us or FOREVER_US
            while True:
                try:
                    out.write(lines)
                    out.flush()
                except OSError as error:
                    failure = f"-o {printable(str(self._file))}: {error.strerror}"
                    out.raw.close()  # or what is left in the buffer would fail once more
                    break
                written = count
                if self._stopped or count == spec.count or at_us >= end_us:
                    break
                at_us += _WINDOW_US
                messages = stream.window(at_us)
                if spec.count is not None:
                    del messages[spec.count - count :]
                digest.add(messages)
                count += len(messages)
                lines = form.lines(messages)
                await asyncio.sleep(0)
        shards = digest.shards()
        totals = PublishTotals(
            planned=count, published=written, confirmed=written, elapsed_s=time.time() - began_s,
            shards={lane: shards[lane] for lane in spec.own_lanes},
            horizons=dict.fromkeys(spec.own_lanes, at_us),
        )  # fmt: skip
        ended_by = "failed" if failure else "signal" if self._stopped else "duration"
        report = report_of(spec, BrokerTarget("", 0), timeline, totals, ended_by, started_s=began_s)
        report = msgspec.structs.replace(report, broker=str(self._file))
        return RunOutcome(report, totals.horizons, timeline, spec=spec, failure=failure)


class _Form(Protocol):
    """How a file is written."""

    def head(self) -> bytes:
        """What it begins with."""
        ...

    def lines(self, messages: Sequence[Message]) -> bytes:
        """What becomes of some messages."""
        ...


class _Recording:
    """A line a message, as `iotcache_simulator.capture` records and plays them."""

    def __init__(self, spec: FleetSpec, timeline: Timeline) -> None:
        self._spec = spec
        self._shown_us = timeline.start_us + timeline.shift_us

    def head(self) -> bytes:
        return msgspec.json.encode(Header(SCHEMA, utc_text(self._shown_us // 1_000 * 1_000))) + b"\n"

    def lines(self, messages: Sequence[Message]) -> bytes:
        spec, encode = self._spec, msgspec.json.encode
        return b"".join(
            encode(
                recorded(
                    at_us / 1e6, topic.decode(), payload.ljust(spec.pad_bytes), spec.qos, retain=spec.retain
                )
            )
            + b"\n"
            for at_us, _, topic, payload, _ in messages
        )


class _Table:
    """A row a reading."""

    def __init__(self, spec: FleetSpec, timeline: Timeline) -> None:
        self._roster = roster_of(spec)
        self._index = {name: index for index, name in enumerate(self._roster.names)}
        self._boot = timeline.boot
        self._shown_ms = (timeline.start_us + timeline.shift_us) // 1_000
        self._units = [{one.name: one.unit for one in kind.sensor} for kind in self._roster.classes]

    def head(self) -> bytes:
        return ",".join(_COLUMNS).encode() + b"\n"

    def lines(self, messages: Sequence[Message]) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        for _, _, _, _, lines in messages:
            rows.writerows(map(self._row, lines.decode().splitlines()))
        return text.getvalue().encode()

    def _row(self, line: str) -> tuple[str, ...]:
        ms, device, sensor, counted, value = line.split(" ", 4)
        roster, index = self._roster, self._index[device]
        seq, _, reboots = counted.rstrip("!").partition("/")
        return (
            utc_text((self._shown_ms + int(ms)) * 1_000), roster.site(index), device, sensor,
            str(msgspec.json.decode(value)) if value.startswith('"') else value,
            self._units[roster.kinds[index]][sensor], seq, self._boot + (f"-{reboots}" if reboots else ""),
        )  # fmt: skip
