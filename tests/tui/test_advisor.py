"""The Advisor screen: what it says in each state, what it carries out, and what it never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.advisor.advice import Subject
from iotcache.advisor.hot_keys import HotKey
from iotcache.advisor.predictions import Checked
from iotcache.advisor.rules import advise
from iotcache.model import NodeHealth, NodeState
from iotcache_tui.screens.advisor import AdvisorScreen
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.state.advisor.acts import act_of, entries_of
from iotcache_tui.state.advisor.model import AdvisorView, ChangeTtl, RunAdvisor
from iotcache_tui.state.nodes.model import ActOnNode, NodeAct
from iotcache_tui.state.updates import Attachment, Latest
from tests.advisor.histories import expiring_together, too_little_memory, ttl_too_short
from tests.tui.conftest import RunApp, screen_text

CHECKED = Checked(
    at_s=1_750_000_000.0, subject=Subject.MEMORY, about="one", change="64 → 128 MB", before=0.7,
    predicted=0.842, measured=0.837, after_s=120.0,
)  # fmt: skip


def view(history: Any = too_little_memory, **changes: Any) -> AdvisorView:
    evidence = history()
    evidence = replace(evidence, nodes=tuple(replace(node, marks_per_s=1.5) for node in evidence.nodes))
    keys = (HotKey(b"dev1:[red]\x1b[31m:latest", 900.0, 0.0), HotKey(b"dev2", 500.0, 100.0))
    made = AdvisorView(
        running=True, evidence=evidence, advice=tuple(advise(evidence)), top=(keys,) * 5, checked=(CHECKED,)
    )
    return replace(made, **changes)


def up(app: Any) -> None:
    """Every node that the advice is about is in use."""
    advice = app.state.advisor.advice
    app.state.nodes = tuple(NodeHealth(one.about, NodeState.UP) for one in advice)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (AdvisorView, "w looks at the nodes' log of requests (watch)"),
        (lambda: AdvisorView(running=True), "looking at the nodes: the first figures come in some seconds"),
        (lambda: AdvisorView(why="there are no cache nodes"), "there are no cache nodes"),
        (lambda: view(advice=()), "nothing to advise"),
        (lambda: view(advice=(), evidence=replace(too_little_memory(), nodes=()),
                      notes=("one:1 (1.4.20) does not tell of its requests",)), "1.4.20) does not tell"),
    ],
)  # fmt: skip
async def test_each_state_says_what_it_is(
    run_app: RunApp, shown: Callable[[], AdvisorView], text: str
) -> None:
    async with run_app((80, 24)) as (app, pilot):
        app.state.ready = True
        app.feed.mailbox.put_latest(Latest(advisor=shown()))
        await pilot.press("8")
        app.frame()
        await pilot.pause()
        assert text in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_curve_advice_keys_and_predictions_are_shown(run_app: RunApp, size: tuple[int, int]) -> None:
    async with run_app(size, ascii=size[0] == 200) as (app, pilot):
        app.feed.mailbox.put_latest(Latest(advisor=view()))
        await pilot.press("8")
        texts = []
        for _ in range(4):
            app.frame()
            await pilot.pause()
            texts.append(screen_text(app))
            await pilot.press("right")
        text = "\n".join(texts)
        best = app.state.advisor.advice[0]
        assert best.text.partition(" →")[0] in text
        assert "now" in text and "knee" in text and "proposal" in text
        assert "marks apart: 1.5 gets/s" in text
        assert best.reason[:20] in text and f"do    {best.do}" in text and best.undo in text
        assert "dev1:[red]\\x1b[31m" in text
        assert "predicted 84.2 %, got 83.7 %" in text
        await pilot.press("m")
        app.frame()
        assert "by misses" in screen_text(app)


async def test_memory_is_set_after_a_yes_and_never_before(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        app.feed.mailbox.put_latest(Latest(advisor=view()))
        await pilot.press("8")
        app.frame()
        up(app)
        best = app.state.advisor.advice[0]
        await pilot.press("u")
        assert isinstance(app.screen, AdvisorScreen), "nothing was carried out yet"
        for key, answer in (("x", "n"), ("x", "y"), ("u", "y")):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, ConfirmScreen)
            await pilot.press(answer)
            if answer == "y":
                app.feed.answer("OK")
                # What was carried out is no advice any more, and can be taken back all the same.
                app.feed.mailbox.put_latest(Latest(advisor=view(advice=())))
                app.frame()
        wanted = [
            ActOnNode(best.about, NodeAct.MEMORY, (int(text.split()[1]),)) for text in (best.do, best.undo)
        ]
        assert [one for one in app.feed.asked if isinstance(one, ActOnNode)] == wanted


@pytest.mark.parametrize(
    ("group", "attached"),
    [("session:#", Attachment()), ("dev#:temperature:latest", Attachment(named=("cache.nodes",)))],
)
async def test_lives_that_others_set_are_copied(run_app: RunApp, group: str, attached: Attachment) -> None:
    async with run_app() as (app, pilot):
        shown = view(ttl_too_short)
        first = replace(shown.advice[0], about=group)
        app.feed.mailbox.put_latest(Latest(advisor=replace(shown, advice=(first,)), attachment=attached))
        await pilot.press("8")
        app.frame()
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, AdvisorScreen)
        await pilot.press("y")
        assert app.clipboard == first.do


async def test_lives_of_our_own_entries_are_changed_and_taken_back(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        shown = view(ttl_too_short)
        first = replace(
            shown.advice[0], about="dev#:temperature:latest", do="TTL of it: 45 s", undo="TTL of it: 30 s"
        )
        app.feed.mailbox.put_latest(Latest(advisor=replace(shown, advice=(first,))))
        await pilot.press("8")
        app.frame()
        await pilot.press("x")
        await pilot.pause()
        assert "for all latest entries" in screen_text(app)
        await pilot.press("y")
        app.feed.answer("cache.ttl.volatile_intervals = 4.5")
        app.frame()
        await pilot.press("u", "y")
        changes = [one for one in app.feed.asked if isinstance(one, ChangeTtl)]
    assert [(one.entries, round(one.factor, 3)) for one in changes] == [("latest", 1.5), ("latest", 0.667)]


@pytest.mark.parametrize(
    ("group", "entries"),
    [
        ("prefix:dev#:temperature:latest", "latest"), ("dev#:temp:#T#Z", "history"), ("dev#:meta", "meta"),
        ("dev#:cfg", "config"), ("agg:site-#:temp:#m", "aggregate"), ("session:#", None), ("latest", None),
    ],
)  # fmt: skip
def test_groups_of_our_entries_are_known_by_their_keys(group: str, entries: str | None) -> None:
    assert entries_of(group) == entries


def test_jitter_is_carried_out_and_taken_back() -> None:
    (one,) = [one for one in advise(expiring_together()) if one.subject is Subject.JITTER]
    assert act_of(one) == ChangeTtl(jitter=0.1)
    assert act_of(one, back=True) == ChangeTtl(jitter=0.0)


async def test_a_read_only_dashboard_carries_nothing_out(run_app: RunApp) -> None:
    async with run_app(read_only=True) as (app, pilot):
        app.feed.mailbox.put_latest(Latest(advisor=view()))
        await pilot.press("8")
        app.frame()
        up(app)
        await pilot.press("x", "u")
        await pilot.pause()
        assert isinstance(app.screen, AdvisorScreen)
        assert not any(one.acts for one in app.feed.asked)


async def test_the_reasons_of_misses_lead_to_the_advice(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        app.feed.mailbox.put_latest(Latest(advisor=view()))
        app.frame()
        await pilot.press("a")
        await pilot.pause()
        await pilot.pause()
        assert app.state.advisor.advice[0].text[:40] in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, AdvisorScreen)


async def test_watching_begins_and_ends_by_a_key(run_app: RunApp) -> None:
    async with run_app() as (app, pilot):
        await pilot.press("8", "w")
        assert RunAdvisor(True) in app.feed.asked
        app.feed.mailbox.put_latest(Latest(advisor=view()))
        app.frame()
        await pilot.press("w", "c", "C")
        assert RunAdvisor(False) in app.feed.asked
