"""What a scenario teaches is broken at its root, in the real parts: its last checks must say so."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from iotcache.onboarding.push import PushResult, push_config
from iotcache_simulator.lab import probe
from iotcache_simulator.lab.definition.actions import AnyAction, BrokerAction, IngestAction, Wait
from iotcache_simulator.lab.definition.scenario import Scenario, find
from tests.lab.test_run import hurried, through

pytestmark = [pytest.mark.lab, pytest.mark.timeout(330), pytest.mark.real("memcached")]


def acting(scenario: Scenario, step: int, *acts: AnyAction) -> Scenario:
    steps = list(scenario.step)
    steps[step] = structs.replace(steps[step], do=acts)
    return structs.replace(scenario, step=tuple(steps))


async def test_without_versions_the_late_push_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    async def last_wins(*args: Any, version: int, **named: Any) -> PushResult:
        """What comes late is given a new number instead of being refused."""
        pushed = await push_config(*args, version=version, **named)
        return pushed if pushed.stored else await push_config(*args, **named)

    monkeypatch.setattr(probe, "push_config", last_wins)
    push = hurried(find("config-push"), 6)
    made = await through(structs.replace(push, step=(push.step[0], *push.step[2:])))
    assert any("config_version == 3 for 4" in sentence for sentence in made.describe_failures()), (
        made.describe_failures()
    )


async def test_a_broker_that_forgets_loses_what_it_had_confirmed() -> None:
    """The worker is away, so the broker alone has what it confirmed; then its memory is gone."""
    outage = hurried(find("broker-outage"), 12)
    forgetful = acting(
        acting(outage, 1, IngestAction(to="stop"), Wait(seconds=2), BrokerAction(to="stop")),
        2,
        BrokerAction(to="start"),
        IngestAction(to="start"),
    )
    made = await through(forgetful)
    assert any("missing == 0" in sentence for sentence in made.describe_failures()), made.describe_failures()
