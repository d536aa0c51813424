"""One run of chaos: a pipeline under load, acts by a seed, and the ledger's verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from iotcache.cluster import Cluster
from iotcache.config.schema import BrokerSettings, CacheSettings, StoreSettings
from iotcache.config.urls import parse_node
from iotcache.errors import StackError
from iotcache.keys import Keys
from iotcache.model import Series
from iotcache.store import open_store
from iotcache.text import plural
from iotcache_simulator.chaos.parts import (
    CacheNode,
    Mosquitto,
    PostgresServer,
    SqliteLock,
    Victim,
    Worker,
    worker_command,
)
from iotcache_simulator.chaos.plan import ChaosAct, draw
from iotcache_simulator.chaos.watch import EarlyCacheWatch
from iotcache_simulator.ledger.targets import VerifyTargets
from iotcache_simulator.ledger.verify import Verification
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.publish.plan.streams import roster_of
from iotcache_simulator.publish.run import FleetRun
from iotcache_simulator.report.junit import Case
from iotcache_simulator.report.simulate import Report
from iotcache_simulator.report.verdict import cases
from iotcache_simulator.wire.target import target_of

SCHEMA: Final = "iotcache.chaos/1"
StoreKind = Literal["sqlite", "postgres"]
_EXEMPT: Final = ("no cached value is absent", "the rate was kept")
"""A node that was killed has nothing, and a broker that is away holds the fleet up: neither is a loss."""
_BUSY_S: Final = 0.5
"""A worker waits so long for SQLite's lock before it takes the store for away: less than it is held."""
_SETTLE_S: Final = 8.0


class ChaosSpec(Struct, frozen=True, kw_only=True):
    """What is asked for."""

    kills: int = 10
    seconds: float = 20.0
    seed: int = 1
    store: StoreKind = "sqlite"
    workers: int = 1
    nodes: int = 2
    devices: int = 50
    rate: float = 300.0


class ChaosReport(Struct, frozen=True, kw_only=True):
    """What came of it."""

    schema: str = SCHEMA
    ok: bool
    failures: tuple[str, ...]
    seed: int
    store: StoreKind
    acts: dict[str, int]
    """How often each thing was done to each part: ``"worker 1 kill"``."""
    lost: int
    duplicated: int
    altered: int
    stale: int
    early: int
    """Cache entries that the store did not have yet."""
    compared: int
    """Cache entries that were compared with the store while the pipeline ran."""
    cases: tuple[Case, ...] = ()
    fleet: Report | None = None

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def sentence(self) -> str:
        """The outcome in a line."""
        readings = self.fleet.planned if self.fleet else 0
        return (
            f"seed {self.seed}, {self.store}: "
            f"{plural(sum(self.acts.values()), 'kill, freeze or restart', 'kills, freezes and restarts')}; "
            f"{plural(readings, 'reading')}, {self.lost} lost, {self.duplicated} doubled, "
            f"{self.altered} altered, {self.stale} stale, {self.early} cached too early"
        )


async def chaos(
    spec: ChaosSpec,
    *,
    worker: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> ChaosReport:
    """Run it. ``worker`` is what the worker's program is run by; ``tell`` hears of each act.

    Raises `StackError` when a part cannot be started.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iotcache-chaos-")))
        pipeline = _Pipeline(spec, folder, worker or worker_command())
        stack.push_async_callback(pipeline.stop)
        await pipeline.start()
        return await _run(spec, pipeline, tell)


class _Pipeline:
    """Broker, cache nodes, store and workers on loopback ports of their own."""

    def __init__(self, spec: ChaosSpec, folder: Path, worker: Sequence[str]) -> None:
        broker_folder, store_folder = folder / "broker", folder / "store"
        for one in (broker_folder, store_folder):
            one.mkdir()
        folder.chmod(0o711)  # PostgreSQL runs as somebody else
        self.broker = Mosquitto(broker_folder, shared=spec.workers > 1)
        self.nodes = [CacheNode(n + 1) for n in range(spec.nodes)]
        self.store: SqliteLock | PostgresServer = (
            PostgresServer(store_folder) if spec.store == "postgres" else SqliteLock(store_folder)
        )
        config = folder / "config.toml"
        nodes = ", ".join(f'"{node.address}"' for node in self.nodes)
        config.write_text(
            f'[broker]\nurl = "{self.broker.url}"\n[cache]\nnodes = [{nodes}]\n'
            f'[store]\nurl = "{self.store.url}"\nbusy_timeout_s = {_BUSY_S}\n'
            # Entries live until the verdict: one that was not kept up must not have expired by then.
            "[cache.ttl]\nvolatile_min_s = 120.0\n"
            f'[ingest]\ngroup = "{"chaos" if spec.workers > 1 else ""}"\n',
            "utf-8",
        )
        self.workers = [Worker(n + 1, worker, config) for n in range(spec.workers)]

    @property
    def parts(self) -> list[Victim]:
        return [self.broker, *self.nodes, self.store, *self.workers]

    @property
    def targets(self) -> VerifyTargets:
        nodes = tuple(node.address for node in self.nodes)
        return VerifyTargets(store=StoreSettings(url=self.store.url), cache=CacheSettings(nodes=nodes))

    async def start(self) -> None:
        await asyncio.gather(*(part.start() for part in (self.broker, *self.nodes, self.store)))
        for worker in self.workers:  # one after the other: the first makes the tables
            await worker.start()
            await worker.until_ready()

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.parts))

    async def until_idle(self) -> None:
        """Return once everything is up again."""
        for part in self.parts:
            await part.until_idle()
        for worker in self.workers:
            await worker.until_ready()


async def _run(spec: ChaosSpec, pipeline: _Pipeline, tell: Callable[[str], None]) -> ChaosReport:
    fleet_spec = FleetSpec(
        devices=spec.devices, rate=spec.rate, duration_s=spec.seconds, seed=spec.seed, qos=1, connections=4,
        connect_timeout_s=20.0, patience_s=60.0,
    )  # fmt: skip
    broker, targets = BrokerSettings(url=pipeline.broker.url), pipeline.targets
    assert targets.store is not None
    assert targets.cache is not None
    series = [
        Series(device.name, sensor.name)
        for roster in (roster_of(fleet_spec),)
        for device in roster
        for sensor in roster.classes[device.kind].sensor
    ]
    plan = draw(spec.seed, spec.kills, spec.seconds, {part.name: part.acts for part in pipeline.parts})
    began = asyncio.get_running_loop().create_future()
    cluster = Cluster.from_settings([parse_node(node.address) for node in pipeline.nodes], targets.cache)
    async with AsyncExitStack() as watching:
        await watching.enter_async_context(cluster)
        store = await watching.enter_async_context(open_store(targets.store, read_only=True))
        keys = Keys(targets.cache.prefix, targets.cache.bucket_s)
        watch = await watching.enter_async_context(EarlyCacheWatch(cluster, keys, store, series))
        acting = asyncio.create_task(_act(plan, pipeline, began, tell))
        watching.callback(acting.cancel)
        fleet = FleetRun(fleet_spec, target_of(broker))
        outcome = await fleet.run(lambda timeline, at_s: began.set_result((timeline, at_s)))
        done = Counter[str]()
        failed = ""
        if began.done():
            done, failed = await acting
            await pipeline.until_idle()
    report = outcome.report
    if began.done():
        timeline, at_s = began.result()
        async with Verification(targets, fleet_spec, broker, settle_s=_SETTLE_S) as verification:
            verification.begin(timeline, at_s)
            report = await verification.judged(report, outcome.horizons, outcome.spec)
    return _judged(spec, pipeline, report, watch, (done, failed, outcome.unreachable))


async def _act(
    plan: Sequence[ChaosAct],
    pipeline: _Pipeline,
    began: asyncio.Future[tuple[object, float]],
    tell: Callable[[str], None],
) -> tuple[Counter[str], str]:
    """Do all of the plan, each at its moment or once its part is up; why one could not be done."""
    _, at_s = await asyncio.shield(began)
    done = Counter[str]()
    failures: list[str] = []
    parts = {part.name: part for part in pipeline.parts}

    async def one(act: ChaosAct) -> None:
        await asyncio.sleep(max(0.0, at_s + act.at_s - time.monotonic()))
        tell(f"{act.at_s:7.3f} s: {act.act} {act.part} for {act.for_s:g} s")
        try:
            await parts[act.part].undergo(act.act, act.for_s)
        except StackError as error:
            failures.append(str(error))
        else:
            done[f"{act.part} {act.act}"] += 1

    async with asyncio.TaskGroup() as group:
        for act in plan:
            group.create_task(one(act))
    return done, failures[0] if failures else ""


def _judged(
    spec: ChaosSpec, pipeline: _Pipeline, report: Report, watch: EarlyCacheWatch,
    ended: tuple[Counter[str], str, str],
) -> ChaosReport:  # fmt: skip
    done, failed, unreachable = ended
    found = [case for case in cases(report, unreachable=unreachable) if case.name not in _EXEMPT]
    carried_out = done.total()
    found.append(
        Case(
            "everything that was planned was done",
            failed
            or (f"{carried_out} of {plural(spec.kills, 'act')} done" if carried_out != spec.kills else ""),
        )
    )
    deaths = [death for part in pipeline.parts for death in part.deaths]
    found.append(Case("no part ended by itself", "; ".join(deaths[:3])))
    named = ", ".join(watch.named[:3])
    found.append(
        Case(
            "nothing is cached before it is stored",
            f"not in the store yet: {plural(watch.early, 'cache entry', 'cache entries')}; the first: {named}"
            if watch.early
            else "",
        )
    )
    ledger = report.ledger
    store, cache = (ledger.store, ledger.cache) if ledger is not None else (None, None)
    failures = tuple(case.failure for case in found if case.failure)
    return ChaosReport(
        ok=not failures,
        failures=failures,
        seed=spec.seed,
        store=spec.store,
        acts=dict(sorted(done.items())),
        lost=ledger.lost if ledger is not None else 0,
        duplicated=store.duplicates if store is not None else 0,
        altered=ledger.altered if ledger is not None else 0,
        stale=cache.stale if cache is not None else 0,
        early=watch.early,
        compared=watch.compared,
        cases=tuple(found),
        fleet=report,
    )
