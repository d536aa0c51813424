"""Alerts, whichever store keeps them."""

from __future__ import annotations

import asyncio

import msgspec

from iotcache.config.schema import StoreSettings
from iotcache.model import Severity
from iotcache.model.alerts import Alert, AlertState
from iotcache.store import open_store
from iotcache.store.base import Store

RAISED, ACKNOWLEDGED, CLEARED = AlertState.RAISED, AlertState.ACKNOWLEDGED, AlertState.CLEARED


def alert(
    name: str = "hot", subject: str = "dev-1:temp", at_us: int = 100, state: AlertState = RAISED
) -> Alert:
    return Alert(
        name=name, subject=subject, severity=Severity.WARNING, state=state, since_us=at_us,
        text=f"at {at_us}", value=21.5, kind="threshold", site="north", changed_us=at_us,
    )  # fmt: skip


async def test_an_alert_comes_back_as_it_was(store: Store) -> None:
    odd = msgspec.structs.replace(alert(subject="a \\ \x00 \ud800 é"), text="\x1b", value=None)
    given = [alert(), odd]
    assert sorted(await store.alerts.record(given), key=lambda one: one.subject) == sorted(
        given, key=lambda one: one.subject
    )
    assert sorted(await store.alerts.active(), key=lambda one: one.subject) == sorted(
        given, key=lambda one: one.subject
    )
    assert await store.alerts.cleared() == []
    assert not await store.alerts.record([])


async def test_only_what_is_news_is_told(store: Store) -> None:
    assert await store.alerts.record([alert(at_us=1)]) == [alert(at_us=1)]
    assert await store.alerts.record([alert(at_us=2)]) == [], "it stands already"
    assert await store.alerts.record([alert(subject="other", state=CLEARED)]) == [], "none stood"
    (cleared,) = await store.alerts.record([alert(at_us=5, state=CLEARED)])
    assert (cleared.state, cleared.since_us, cleared.changed_us, cleared.text) == (CLEARED, 1, 5, "at 5")
    assert await store.alerts.record([alert(at_us=6, state=CLEARED)]) == []
    assert await store.alerts.record([alert(at_us=7)]) == [alert(at_us=7)], "raised anew, after its end"
    assert await store.alerts.active() == [alert(at_us=7)]
    assert await store.alerts.cleared() == [cleared]


async def test_raised_and_cleared_in_one_go_both_count(store: Store) -> None:
    news = await store.alerts.record([alert(at_us=1), alert(at_us=2, state=CLEARED), alert(at_us=3)])
    assert [(one.state, one.since_us) for one in news] == [(RAISED, 1), (CLEARED, 1), (RAISED, 3)]


async def test_who_acknowledges_first_stays_and_clearing_keeps_it(store: Store) -> None:
    await store.alerts.record([alert(at_us=1)])
    assert await store.alerts.acknowledge("hot", "nobody", "eva", 2) is None
    first = await store.alerts.acknowledge("hot", "dev-1:temp", "eva", 2)
    assert first is not None
    assert (first.state, first.acknowledged_by, first.acknowledged_us) == (ACKNOWLEDGED, "eva", 2)
    assert await store.alerts.acknowledge("hot", "dev-1:temp", "adam", 3) == first
    assert await store.alerts.record([alert(at_us=4)]) == [], "acknowledged is not gone"
    (cleared,) = await store.alerts.record([alert(at_us=5, state=CLEARED)])
    assert (cleared.state, cleared.acknowledged_by, cleared.since_us) == (CLEARED, "eva", 1)
    assert await store.alerts.acknowledge("hot", "dev-1:temp", "adam", 6) is None


async def test_past_alerts_are_pruned_and_standing_ones_stay(store: Store) -> None:
    for at_us in range(10, 16):
        await store.alerts.record([alert(at_us=at_us), alert(at_us=at_us, state=CLEARED)])
    await store.alerts.record([alert(at_us=1)])
    assert await store.alerts.prune(13, 2) == 2
    assert await store.alerts.prune(13) == 1
    assert await store.alerts.prune(13) == 0
    assert [one.changed_us for one in await store.alerts.cleared()] == [15, 14, 13]
    assert [one.changed_us for one in await store.alerts.cleared(1)] == [15]
    assert await store.alerts.active() == [alert(at_us=1)]


async def test_of_two_workers_who_tell_the_same_one_has_the_news(store_settings: StoreSettings) -> None:
    settings = StoreSettings(url=store_settings.url, password=store_settings.password, busy_timeout_s=10)
    async with open_store(settings) as a, open_store(settings) as b:
        subjects = [f"d{n}" for n in range(20)]
        both = await asyncio.gather(
            a.alerts.record([alert(subject=one, at_us=1) for one in subjects]),
            b.alerts.record([alert(subject=one, at_us=2) for one in reversed(subjects)]),
        )
        assert sorted(one.subject for news in both for one in news) == sorted(subjects)
        assert len(await a.alerts.active()) == 20
