"""All that one scenario runs on: its servers, its readers and its probe, and what is measured of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Self

from msgspec import structs

from iotcache.config.schema import Settings
from iotcache.errors import IotCacheError
from iotcache.model import Series
from iotcache.store import open_store
from iotcache.store.base import Store
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.lab.definition.actions import Predict
from iotcache_simulator.lab.definition.metrics import PEAK_OF_S, per_second
from iotcache_simulator.lab.effects import Effects
from iotcache_simulator.lab.load import LateTimers, LoadLimit
from iotcache_simulator.lab.node_stats import NodeCounts
from iotcache_simulator.lab.plan import SEED, ScenarioPlan
from iotcache_simulator.lab.predictor import Predictor
from iotcache_simulator.lab.probe import Probe
from iotcache_simulator.lab.stats_listener import FleetStatsListener
from iotcache_simulator.stack.service import StartProgress
from iotcache_simulator.stack.stack import Pids, Stack

_FLEET_KNOWN_S: Final = 90.0
"""Even a fleet of thousands on a busy machine has been heard of by then."""


class LessonStack:
    """An async context manager: inside everybody reads. Raises `StackError` without its servers."""

    def __init__(self, plan: ScenarioPlan, report: Callable[[str], None]) -> None:
        """``report`` is told what is being started."""
        self._plan = plan
        self._report = report
        self._open = AsyncExitStack()
        self._load = LoadLimit()
        self._late = LateTimers()
        self._peaks: dict[str, deque[float]] = {}
        self.slow: str | None = None
        """What the machine was found not to give at the last `measure`; ``None`` where all is well."""
        self.stats: FleetStatsListener
        """The fleet's own account. This and `effects` are there while it is entered."""
        self.effects: Effects
        """Does what steps ask for."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            # Not announced: no `get` or `simulate` of somebody's is to end up among a lesson's servers.
            self._stack = stack = await opening.enter_async_context(
                Stack(self._plan.settings, announced=False, named_nodes=True, on_progress=self._starting)
            )
            store = await opening.enter_async_context(open_store(stack.settings.store))
            self._report("waiting for the fleet's first readings")
            self.stats = await opening.enter_async_context(FleetStatsListener(stack.settings.broker, store))
            self._arms = self._plan.arms(stack.settings, store)
            self._nodes = NodeCounts(stack.settings.cache, slabs=self._plan.scenario.stack.memcached)
            opening.push_async_callback(self._nodes.close)
            self._probe = Probe(store, self._arms)
            scenario = self._plan.scenario
            self._predictor: Predictor | None = None
            if any(isinstance(action, Predict) for step in scenario.step for action in step.do):
                self._predictor = Predictor(stack.settings.cache)
                opening.push_async_callback(self._predictor.close)
            self.effects = Effects(
                stack,
                scenario.stack,
                self._arms,
                self._probe,
                stats=self.stats,
                policy_of=self._plan.policy_of,
                sides=scenario.arms,
                predictor=self._predictor,
            )
            for arm in self._arms:
                opening.push_async_callback(arm.close)
            opening.push_async_callback(self.effects.close)
            for arm in self._arms:
                opening.callback(arm.cut_off)  # all of them, before any is waited for
            series = await self._known_fleet(store)
            await self.effects.begin(series, self._plan.reads)
            await opening.enter_async_context(self._late)
            self._measured_s = time.monotonic()
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def pids(self) -> Pids:
        """The processes that were started."""
        return self._stack.pids

    @property
    def settings(self) -> Settings:
        """For looking at these servers as the readers do, of a comparison as its first side does."""
        settings, arm = self._stack.settings, self._arms[0]
        return structs.replace(
            settings,
            cache=structs.replace(
                settings.cache,
                nodes=self.effects.listed,
                prefix=arm.keys.prefix,
                placement=arm.policy.placement,
            ),
            ingest=structs.replace(settings.ingest, enabled=False),
            simulator=structs.replace(settings.simulator, enabled=False),
            dashboard=structs.replace(settings.dashboard, read_only=True, observe=True),
        )

    async def measure(self) -> dict[str, float | None]:
        """Every figure since the last call, which should be a second ago."""
        before_s, self._measured_s = self._measured_s, time.monotonic()
        figures: dict[str, float | None] = {}
        for arm in self._arms:
            own = arm.figures()
            self.stats.exclude(int(own.get("store_writes_per_s") or 0))
            own["keys_moved_percent"] = self.effects.moved_percent.get(arm.name)
            for name, value in own.items():
                figures[f"{arm.name}.{name}" if arm.name else name] = value
        figures |= await self.stats.figures()
        figures |= await self._probe.figures()
        if self._predictor is not None:
            figures |= self._predictor.figures(figures.get("hit_percent"))
        elapsed_s = self._measured_s - before_s
        self._note_peaks(figures, max(elapsed_s, 1.0))
        figures = per_second(figures, elapsed_s)
        await self._limit_load(figures)
        return figures | await self._nodes.figures(self.effects.listed)

    def _note_peaks(self, figures: dict[str, float | None], elapsed_s: float) -> None:
        for arm in self._arms:
            side = f"{arm.name}." if arm.name else ""
            recent = self._peaks.setdefault(arm.name, deque(maxlen=PEAK_OF_S))
            recent.append((figures[f"{side}store_reads_per_s"] or 0.0) / elapsed_s)
            figures[f"{side}store_reads_peak"] = max(recent)

    async def _limit_load(self, figures: Mapping[str, float | None]) -> None:
        """Fewer reads where the machine cannot give them."""
        given_per_s = sum(
            figures[f"{arm.name}.reads_per_s" if arm.name else "reads_per_s"] or 0.0 for arm in self._arms
        )
        asked_per_s = sum(arm.asked_per_s for arm in self._arms)
        self.slow = self._load.look(asked_per_s, given_per_s, self._late.mean_s())
        if self.slow is not None:
            await self.effects.limit(self._load.factor)

    def _starting(self, progress: StartProgress) -> None:
        self._report(progress.text)

    async def _known_fleet(self, store: Store) -> list[Series]:
        """Every series of the fleet, in an order that does not depend on which was first to report."""
        until_s = time.monotonic() + _FLEET_KNOWN_S
        whole = Roster(SEED, self._plan.scenario.stack.devices).series
        while time.monotonic() < until_s:
            known = await store.directory()
            if len(known) >= whole:
                return sorted(info.series for info in known)
            if known:
                self._report(
                    f"waiting for the fleet's first readings: {len(known):,} of {whole:,} series so far"
                )
            await asyncio.sleep(0.5)
        raise IotCacheError(f"the scenario's fleet did not report within {_FLEET_KNOWN_S:g} s")
