"""A client of a release that knows no ring records, among others while the ring changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from iotcache.cluster import Cluster
from iotcache_simulator.clustersim.client import SimulatedClient
from iotcache_simulator.clustersim.plan import SimulationStep
from iotcache_simulator.clustersim.world import simulate
from tests.clustersim.by_hand import by_hand

KEYS = tuple(range(8))
OLD = "reader 2"


def without_records(cluster: Cluster) -> Cluster:
    """It looks at nodes as ever, and passes over what is said of the ring."""
    fences, view = cluster._fences, cluster._rings

    async def take(index: int, connection: Any, sent: float, epochs: Sequence[int], replies: Any) -> None:
        view.looked(index, sent, None, fences.reach())

    fences.ring.take = take  # type: ignore[method-assign]
    return cluster


def test_a_reader_of_the_previous_release_harms_nobody_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with its own list: it reads what was written past it, and nobody else does for its sake."""
    real = SimulatedClient._make

    def make(self: SimulatedClient, *args: Any) -> Cluster:
        cluster = real(self, *args)
        return without_records(cluster) if self.name == OLD else cluster

    monkeypatch.setattr(SimulatedClient, "_make", make)
    steps = [SimulationStep(0.3, "resize", 0, ring=((0, 1), (1, 1)))]
    for at in range(24):
        at_s = 0.1 + 0.2 * at
        steps += [
            SimulationStep(at_s, "set", 0, keys=KEYS if at % 3 else KEYS[::2]),
            SimulationStep(at_s + 0.05, "fill", 2, keys=KEYS, value=0.05),
            SimulationStep(at_s + 0.1, "get", 1, keys=KEYS),
        ]
    steps.append(SimulationStep(0.12, "delete", 0, keys=KEYS[4:]))
    plan = by_hand(steps, nodes=1, keys=len(KEYS), end_s=5.0, spares=1, readers=2)
    violations = [text for text in simulate(plan).violations if "in one epoch" not in text]
    assert [text for text in violations if f" {OLD} " not in text] == []
    assert violations, "that it has to be updated before the first change is no empty word"
