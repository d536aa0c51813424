"""A fleet split over several processes: the same stream, the same digest, more processors.

The parent starts one child for each share (``python -P -m iotcache_simulator.publish.multi_process
PARENT_PID``) and sends it
the order on stdin. When all have their connections, one moment is named at which virtual time begins
(`time.monotonic` is one clock for all processes of a machine). Each tells its progress, and its tally at
the end; the tallies add up to the report.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable
from time import monotonic, time

import msgspec
from msgspec import Struct

from iotcache.config.schema import BrokerSettings
from iotcache.errors import StackError
from iotcache_simulator.fleet.stream import Timeline
from iotcache_simulator.processes.guard import die_with_parent
from iotcache_simulator.processes.parent import say
from iotcache_simulator.processes.process import Process
from iotcache_simulator.publish.partition import FleetPartition, PublishTotals, added
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.run import OnBegin, RunOutcome, RunProgress, report_of
from iotcache_simulator.wire.target import target_of

_LEAD_S = 0.05
"""From naming the moment of the start to that moment: every child has heard of it by then."""
_PROGRESS_EVERY_S = 0.25
_PIECE_BYTES = 1_000
"""A control record stays well below the length at which a child's line is taken for log output."""
_CONNECTING_EVERY_S = 5.0
_START_S = 15.0
_SILENT_S = 60.0


class WorkerOrder(Struct, frozen=True):
    """What a child is told."""

    spec: FleetSpec
    broker: BrokerSettings
    part: int


class Begin(Struct, frozen=True):
    """When it all begins."""

    timeline: Timeline
    at: float
    """`time.monotonic`."""


def _packed(value: object) -> str:
    return base64.b64encode(msgspec.msgpack.encode(value)).decode()


class MultiProcessRun:
    """Runs a fleet in ``spec.processes`` children; used like `FleetRun`."""

    def __init__(self, spec: FleetSpec, broker: BrokerSettings) -> None:
        self.spec = spec
        self._broker = broker
        self._target = target_of(broker, spec.cert_dir, spec.password_file)
        self._stopped = asyncio.Event()
        self._children: list[Process] = []
        self._progress: dict[int, RunProgress] = {}
        self._failure = ""
        """Which child ended before its time, and how."""

    def stop(self) -> None:
        """End the run early and cleanly."""
        self._stopped.set()

    def progress(self) -> RunProgress:
        parts = list(self._progress.values())
        return RunProgress(
            max((part.at_s for part in parts), default=0.0),
            sum(part.published for part in parts),
            sum(part.confirmed for part in parts),
            sum(part.rate for part in parts),
            next((part.waiting for part in parts if part.waiting), "" if parts else "starting"),
        )

    async def run(self, on_begin: OnBegin = lambda timeline, began: None) -> RunOutcome:
        """Start the children, publish, collect what they tell. A child that dies is told in the report."""
        started_s = time()
        timeline = self.spec.timeline(int(started_s * 1e6))
        parts = range(self.spec.processes)
        self._children = [
            Process(
                f"fleet part {part + 1}",
                [sys.executable, "-P", "-m", "iotcache_simulator.publish.multi_process", str(os.getpid())],
                grace_s=0.5,
            )
            for part in parts
        ]
        unreachable, totals = "", PublishTotals()
        async with contextlib.AsyncExitStack() as stack:
            try:
                unreachable = await self._start(stack)
            except StackError as error:
                self._failure = str(error)
            if not (unreachable or self._failure or self._stopped.is_set()):
                started_s = time()
                timeline = self.spec.timeline(int((started_s + _LEAD_S) * 1e6))
                began = monotonic() + _LEAD_S
                on_begin(timeline, began)
                begin = _packed(Begin(timeline, began)).encode()
                totals = added(await asyncio.gather(*(self._part(part, begin) for part in parts)))
        ended_by = "duration"
        if self._failure:
            ended_by = "failed"
        elif self._stopped.is_set():
            ended_by = "signal"
        elif unreachable:
            ended_by = "unreachable"
        report = report_of(self.spec, self._target, timeline, totals, ended_by, started_s=started_s)
        return RunOutcome(report, totals.horizons, timeline, unreachable, failure=self._failure)

    async def _start(self, stack: contextlib.AsyncExitStack) -> str:
        """Start the children and have them connect; why one has no connection, or empty when all have."""
        for part, child in enumerate(self._children):
            await stack.enter_async_context(child)
            await child.say(_packed(WorkerOrder(self.spec, self._broker, part)).encode())
        stopping = asyncio.create_task(self._pass_on_stop())
        stack.callback(stopping.cancel)
        reasons = await asyncio.gather(*(self._connected(child) for child in self._children))
        return next((reason for reason in reasons if reason), "")

    async def _pass_on_stop(self) -> None:
        await self._stopped.wait()
        await self._stop_children()

    async def _stop_children(self) -> None:
        for child in self._children:
            with contextlib.suppress(StackError):
                await child.say(b"stop")

    async def _part(self, part: int, begin: bytes) -> PublishTotals:
        """What a child came to; of one that died, what it told last, and the others are stopped."""
        try:
            await self._children[part].say(begin)
            return await self._totals(part)
        except StackError as error:
            if not self._failure:
                self._failure = str(error)
                await self._stop_children()
            last = self._progress.get(part, RunProgress())
            return PublishTotals(
                planned=last.published, published=last.published, confirmed=last.confirmed,
                elapsed_s=last.at_s / self.spec.speed if self.spec.speed < math.inf else 0.0,
            )  # fmt: skip

    async def _connected(self, child: Process) -> str:
        """Why a child has no connection; empty when it has. How long that may take is the child's to say."""
        silent_s = _START_S
        while "connected" not in (record := await child.receive("connecting", silent_s)):
            silent_s = _SILENT_S
        return str(record["connected"])

    async def _totals(self, part: int) -> PublishTotals:
        child = self._children[part]
        pieces: list[str] = []
        while True:
            record = await child.receive("part", _SILENT_S, "work")
            if "progress" in record:
                self._progress[part] = msgspec.convert(record["progress"], RunProgress)
            else:
                pieces.append(record["piece"])
                if record["part"] == "last":
                    return msgspec.msgpack.decode(base64.b64decode("".join(pieces)), type=PublishTotals)


async def _work(partition: FleetPartition, orders: _Orders) -> None:
    """A child's run, from the connection to the tally."""
    beating = asyncio.create_task(_tell_that_it_connects())
    async with partition:
        is_connected = await partition.connected()
        beating.cancel()
        say(connecting="", connected="" if is_connected else partition.reason or "stopped")
        if not is_connected:
            return
        begin = msgspec.msgpack.decode(await orders.next(), type=Begin)
        telling = asyncio.create_task(_send_progress(partition))
        await partition.run(begin.timeline, begin.at)
        telling.cancel()
    for last, piece in _pieces(_packed(partition.totals())):
        say(part="last" if last else "more", piece=piece)


def _pieces(text: str) -> Iterable[tuple[bool, str]]:
    for at in range(0, len(text), _PIECE_BYTES):
        yield at + _PIECE_BYTES >= len(text), text[at : at + _PIECE_BYTES]


async def _tell_that_it_connects() -> None:
    """Thousands of connections, or such as are made one by one, take their time."""
    while True:
        say(connecting="")
        await asyncio.sleep(_CONNECTING_EVERY_S)


async def _send_progress(partition: FleetPartition) -> None:
    while True:
        publisher = partition.publisher
        rate = publisher.published / publisher.elapsed_s if publisher.elapsed_s else 0.0
        progress = RunProgress(
            publisher.progress_s(), publisher.published, publisher.confirmed, rate, partition.reason
        )
        say(part="progress", progress=msgspec.to_builtins(progress))
        await asyncio.sleep(_PROGRESS_EVERY_S)


class _Orders:
    """The child's stdin: lines from the parent. Its end ends this process, for the parent is gone."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.on_stop: Callable[[], None] = lambda: os._exit(0)
        threading.Thread(target=self._follow, daemon=True, name="orders").start()

    async def next(self) -> bytes:
        return base64.b64decode(await self._lines.get())

    def _follow(self) -> None:
        with os.fdopen(0, "rb", closefd=False) as stdin:
            for line in stdin:
                self._loop.call_soon_threadsafe(self._take, line.rstrip())
        os._exit(0)

    def _take(self, line: bytes) -> None:
        if line == b"stop":
            self.on_stop()
        else:
            self._lines.put_nowait(line)


async def _child() -> None:
    orders = _Orders()
    order = msgspec.msgpack.decode(await orders.next(), type=WorkerOrder)
    spec = order.spec
    target = target_of(order.broker, spec.cert_dir, spec.password_file)
    partition = FleetPartition(spec, target, order.part)
    orders.on_stop = partition.stop
    await _work(partition, orders)


def main(arguments: list[str]) -> int:
    """The child's side."""
    die_with_parent(int(arguments[0]))
    try:
        asyncio.run(_child())
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        say(error=str(error) or type(error).__name__)
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
