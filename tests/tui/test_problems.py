"""What is wrong, as one list: each rule, its order, its texts and its events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from iotcache.config.key_placement import key_placement
from iotcache.config.schema import CacheSettings, Settings
from iotcache.model import Event, MissReason, NodeHealth, NodeState, Severity
from iotcache.published_stats import FleetStats, IngestStats, NodeListReport
from iotcache.text import printable
from iotcache_tui.feed.parts import Parts
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.nodes.model import NodeFigures, NodesFigures
from iotcache_tui.state.problems.causes import cause_first
from iotcache_tui.state.problems.find import CAUSES, find_problems
from iotcache_tui.state.problems.history import STEADY_S, ProblemHistory
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem, some_of
from iotcache_tui.state.problems.shown import header_parts, shown_parts
from iotcache_tui.state.updates import (
    AlertLine,
    Drained,
    Latest,
    Mailbox,
    Part,
    Processes,
    Second,
    Simulator,
    Worker,
)
from iotcache_tui.widgets.common.starting import waiting_text
from iotcache_tui.widgets.common.top_bar import TopBar
from iotcache_tui.widgets.nodes.node_table import NodeTable
from tests.tui.conftest import RunApp, screen_lines, until_shown
from tests.tui.scripted import NODES

NOW_S = 1_000.0
WENT_S = 990.0
UP = {name: Part(name, "up", "", 0.0) for name in ("broker", "nodes", "store")}


def worker(name: str = "w1", at_s: float = NOW_S, **counters: Any) -> Worker:
    return Worker(name, at_s, IngestStats(pid=7, host="h", **{"stored_per_s": 150.0, **counters}))


def facts(**changes: Any) -> Facts:
    """All is well, but for ``changes``; parts are given by name."""
    parts = {**UP, **changes.pop("parts", {})}
    well: dict[str, Any] = {
        "parts": tuple(parts.values()),
        "processes": Processes((worker(),)),
        "nodes": tuple(NodeHealth(name, NodeState.UP) for name in NODES),
        "seconds": tuple(Second(NOW_S - 7 + n, 100, 100, fresh=9) for n in range(8)),
        "devices": 120,
    }
    return Facts(now_s=NOW_S, **{**well, **changes})


def gone(name: str, text: str, state: str = "down") -> dict[str, Part]:
    return {name: Part(name, state, text, WENT_S)}


def quiet() -> tuple[Second, ...]:
    """Reads go on, and none finds anything new."""
    return tuple(Second(NOW_S - 7 + n, 100, 100) for n in range(8))


def out(*indexes: int, reason: str = "does not answer", **changes: Any) -> tuple[NodeHealth, ...]:
    return tuple(
        NodeHealth(name, NodeState.DOWN, reason, WENT_S, **changes)
        if index in indexes
        else NodeHealth(name, NodeState.UP)
        for index, name in enumerate(NODES)
    )


def figures(**changes: Any) -> NodesFigures:
    return NodesFigures("ketama", (NodeFigures(name=NODES[0], at_s=NOW_S, answered=True, **changes),))


def alert(name: str = "cold", severity: Severity = Severity.ERROR) -> AlertLine:
    return AlertLine(name, "d/t", severity, False, 0.0, "d t is 5.5")


NO_WORKER = Processes()
FALLEN = Processes(silent=(worker("w2", WENT_S),))
PLACED = key_placement(CacheSettings(nodes=("a:1=2", "b:1")))
OTHERWISE = key_placement(CacheSettings(nodes=("a:1", "b:1"), placement="rendezvous"))
LISTED = NodeListReport("file:///nodes", 3, 3)
CHANGED = NodeListReport("file:///nodes", 4, 3, "to be added: d:1")
UNREAD = NodeListReport("dns://cache", 3, 3, "", "there is no such name in DNS")
TOLD = Processes((worker(nodes_out=[f"{NODES[0]}: does not answer"]),))

CASES: dict[str, tuple[Facts, str]] = {
    "broker down": (
        facts(parts=gone("broker", "connection refused (h:1)"), processes=NO_WORKER, seconds=quiet()),
        "broker down · connection refused (h:1) · no new reading comes in",
    ),
    "broker away for this dashboard": (
        facts(parts=gone("broker", "network is unreachable (h:1)"), processes=NO_WORKER),
        "broker not reached from here · network is unreachable (h:1) · "
        "readings go on coming: others reach it",
    ),
    "wrong password": (
        facts(parts=gone("broker", "not authorized (h:1)", "refused"), processes=NO_WORKER),
        "broker refuses this dashboard · not authorized (h:1) · readings go on coming; "
        "workers cannot be seen from here",
    ),
    "store down": (
        facts(
            parts=gone("store", "connection refused (h:5)"),
            processes=Processes((worker(stored_per_s=0.0),)),
        ),
        "store down · connection refused (h:5) · what is not in the cache cannot be read",
    ),
    "store down for workers too": (
        facts(
            parts=gone("store", "connection refused (h:5)"),
            processes=Processes((worker(waiting_for="store: x", waiting_store="x"), worker("w2"))),
        ),
        "store down · connection refused (h:5) · 1 of 2 workers cannot commit",
    ),
    "store away for this dashboard": (
        facts(parts=gone("store", "timeout expired (h:5)")),
        "store not reached from here · timeout expired (h:5) · the workers store 150/s",
    ),
    "store refuses this dashboard": (
        facts(parts=gone("store", "refuses the password (h:5)", "refused")),
        "store refuses this dashboard · refuses the password (h:5) · the workers store 150/s",
    ),
    "store away for workers alone": (
        facts(processes=Processes((worker(waiting_for="store: locked", waiting_store="locked"),))),
        "store not reached by the worker · locked · it cannot commit",
    ),
    "one node down": (
        facts(nodes=out(0), processes=TOLD),
        f"node {NODES[0]} down · does not answer · others stand in",
    ),
    "all nodes down": (
        facts(nodes=out(0, 1, 2), processes=TOLD),
        f"all 3 nodes down · does not answer ({', '.join(NODES)}) · no read is answered from the cache",
    ),
    "a node away for this dashboard": (
        facts(nodes=out(1)),
        f"node {NODES[1]} not reached from here · does not answer · the workers use it",
    ),
    "a node away for workers alone": (
        facts(processes=TOLD),
        f"node {NODES[0]} not reached by the worker · does not answer · it answers here",
    ),
    "no worker": (
        facts(
            processes=Processes(simulators=(Simulator("s", NOW_S, FleetStats(rate=241.0)),)), seconds=quiet()
        ),
        "workers not heard · 241 messages/s are published, nobody stores them · "
        "iotcache-tui ingest starts one",
    ),
    "workers that tell nothing": (
        facts(processes=NO_WORKER),
        "workers not heard · readings come in, yet none tells of itself · "
        "may this dashboard read iotcache/stats/#?",
    ),
    "a worker hangs": (
        facts(processes=Processes((worker(),), silent=FALLEN.silent)),
        "worker w2 silent · it hangs or is cut off: process 7 on h said no goodbye · "
        "1 of 2 workers still works",
    ),
    "a client id is used twice": (
        facts(
            processes=Processes(
                (worker(client_id="iot", contested="another program took our client id iot over (4 times)"),),
                silent=(worker("w2", client_id="iot"),),
            )
        ),
        "client id iot contested · another program took it over (4 times) · "
        "each worker needs an ingest.client_id of its own",
    ),
    "placement differs": (
        facts(placement=OTHERWISE, processes=Processes((worker(placement=PLACED),))),
        "this dashboard places keys differently · rendezvous here, ketama by worker w1 · "
        "it reads old entries, or none",
    ),
    "the list of nodes changed": (
        facts(
            node_list=CHANGED,
            processes=Processes((worker(node_list=CHANGED), worker("w2", node_list=LISTED))),
        ),
        "list of nodes changed · file:///nodes: it names 4 nodes, 3 in use: to be added: d:1 · "
        "1 of 2 workers and this dashboard use another one until a worker takes it over, or "
        "iotcache-tui nodes apply",
    ),
    "the list of nodes cannot be read by a worker": (
        facts(processes=Processes((worker(node_list=UNREAD),))),
        "list of nodes not followed · dns://cache: there is no such name in DNS · "
        "the 3 nodes of the last good one are in use",
    ),
    "the list of nodes was never had": (
        facts(nodes=(), parts=gone("nodes", "the list of nodes at dns://c: DNS does not answer")),
        "cache nodes not known here · the list of nodes at dns://c: DNS does not answer · "
        "no key can be looked up",
    ),
    "a node that flaps": (
        facts(falls=tuple((NODES[1], NOW_S - ago_s) for ago_s in (70.0, 50.0, 30.0, 10.0))),
        f"node {NODES[1]} unsteady · it is up, and went down 3 times within a minute · "
        "its keys are read from elsewhere each time",
    ),
    "a worker's clock is off": (
        facts(processes=Processes((worker(), structs.replace(worker("w2"), ahead_s=-3_600.0)))),
        "worker w2 out of step · the clock of w2 is 60m behind this machine's · "
        "ages on screen may be wrong by as much",
    ),
    "flushed": (
        facts(figures=figures(flushed_at_s=WENT_S)),
        f"node {NODES[0]} flushed · somebody sent flush_all: its items are gone · "
        "reads of them miss until they are written again",
    ),
    "evictions": (
        facts(figures=figures(evictions_per_s=4_000.0)),
        f"node {NODES[0]} memory full · 4000 items/s are evicted too soon · "
        "reads of them miss: more memory (-m) or another node",
    ),
    "nothing was ever understood": (
        facts(
            processes=Processes(
                (worker(stored_per_s=0.0, received=4, dead_letters=4, last_refusal="no JSON, on a/b"),)
            )
        ),
        "every message refused · no JSON, on a/b · nothing is stored",
    ),
    "nothing was ever in a message": (
        facts(
            processes=Processes(
                (worker(stored_per_s=0.0, received=4, nothing_in_it=4, last_nothing_in_it="m/empty"),)
            )
        ),
        "every message without a reading · nothing in it that is read, as on m/empty · nothing is stored",
    ),
    "devices are silent": (
        facts(devices_stale=91), "91 of 120 devices silent · no reading for three intervals or more"
    ),
    "all devices' times are old": (
        facts(devices_stale=120),
        "all 120 devices late · readings come in, all of them older than three intervals by this machine's "
        "clock · a backlog is worked off, or clocks differ",
    ),
    "alerts stand": (facts(alerts=(alert(),) * 8), "8 alerts stand · cold: d t is 5.5"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_fault_alone_is_one_sentence(name: str) -> None:
    given_facts, sentence = CASES[name]
    assert [problem.sentence for problem in find_problems(given_facts)] == [sentence]


def test_what_is_well_or_wanted_is_no_problem() -> None:
    assert find_problems(facts()) == ()
    assert find_problems(Facts(now_s=NOW_S)) == ()
    absent = {"ingest": Part("ingest", "off", "none is started beside named servers")}
    assert find_problems(facts(parts=absent, processes=NO_WORKER, seconds=quiet())) == ()
    just_up = {"broker": Part("broker", "up", "", NOW_S - 1)}
    assert find_problems(facts(parts=just_up, processes=NO_WORKER, seconds=quiet())) == ()
    ours = {"ingest": Part("ingest", "up", "", NOW_S - 1)}
    assert find_problems(facts(parts=ours, processes=NO_WORKER, seconds=quiet())) == ()
    (drained,) = find_problems(facts(nodes=out(0, reason="drained", drained=True)))
    assert drained.gravity is Gravity.NOTE
    assert find_problems(facts(figures=figures(flushed_at_s=NOW_S - 60))) == ()


def test_a_node_that_goes_down_again_and_again_is_counted_and_a_drained_one_is_not() -> None:
    state = DashboardState()
    for turn in range(4):
        for nodes in (facts().nodes, out(0), out(0, 1)):
            state.apply(Drained(nodes=[structs.replace(node, since_s=float(turn)) for node in nodes]))
    assert [name for name, _ in state.node_falls] == [NODES[0], NODES[1]] * 4
    state.apply(Drained(nodes=facts().nodes))
    state.apply(Drained(nodes=out(2, drained=True)))
    assert len(state.node_falls) == 8


def test_readings_that_came_while_workers_were_heard_do_not_speak_for_others() -> None:
    for ago_s in (1.0, 5.0):
        (found,) = find_problems(facts(processes=NO_WORKER, last_worker_s=NOW_S - ago_s))
        assert (found.gravity, found.since_s, found.cause) == (
            Gravity.DOWN,
            NOW_S - ago_s,
            "nothing is stored",
        )
    (found,) = find_problems(facts(processes=NO_WORKER, last_worker_s=NOW_S - 8.0))
    assert found.gravity is Gravity.BLIND
    state = DashboardState()
    state.apply(Drained(processes=Processes((worker(at_s=5.0), worker("w2", at_s=7.0)))))
    state.apply(Drained(processes=NO_WORKER))
    assert state.facts(NOW_S).last_worker_s == 7.0


def test_what_was_on_its_way_when_the_broker_went_says_nothing_of_others() -> None:
    went = {"broker": Part("broker", "down", "refused", NOW_S - 1.5)}
    (found,) = find_problems(facts(parts=went, processes=NO_WORKER))
    assert (found.head, found.effect) == ("broker down", "")


MERGED = {name: case[0] for name, case in CASES.items() if name not in ("devices are silent", "alerts stand")}
PAIRS = [
    ("broker down", "store down"), ("broker down", "one node down"),
    ("store down for workers too", "evictions"),
    ("evictions", "a worker hangs"), ("wrong password", "one node down"), ("flushed", "store down"),
    ("alerts stand", "no worker"), ("evictions", "alerts stand"), ("placement differs", "evictions"),
    ("no worker", "all nodes down"), ("devices are silent", "evictions"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_faults_the_gravest_stands_first_and_both_are_counted(one: str, other: str) -> None:
    first, second = CASES[one][0], CASES[other][0]
    both = {
        field: value if value != getattr(facts(), field) else getattr(second, field)
        for field in Facts.__struct_fields__
        if field != "now_s"
        for value in (getattr(first, field),)
    }
    parts = {part.name: part for part in second.parts}
    parts |= {part.name: part for part in first.parts if part.state != "up"}
    found = find_problems(Facts(now_s=NOW_S, **{**both, "parts": tuple(parts.values())}))
    kinds = {problem.key for problem in found}
    for name in (one, other):
        assert {problem.key for problem in find_problems(CASES[name][0])} <= kinds
    assert [problem.gravity for problem in found] == sorted(
        (problem.gravity for problem in found), reverse=True
    )


_texts = st.text(max_size=40)
_states = st.sampled_from(["up", "down", "starting", "off", "refused"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_states, _texts, st.floats(0, NOW_S)), min_size=3, max_size=3),
    st.lists(st.tuples(_texts, _texts, _texts, st.booleans()), max_size=4),
    st.lists(st.sampled_from(NodeState), min_size=3, max_size=3),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_whatever_processes_tell_texts_are_safe_and_parts_add_up_to_their_total(
    parts: Any, told: Any, states: Any, late: int, more: int
) -> None:
    workers = [
        worker(name, waiting_for=why, waiting_store=store, nodes_out=[f"{NODES[0]}: {why}"] * away)
        for name, why, store, away in told
    ]
    names = ("broker", "nodes", "store")
    given_facts = facts(
        parts={
            name: Part(name, state, text, since_s)
            for name, (state, text, since_s) in zip(names, parts, strict=True)
        },
        processes=Processes(tuple(workers[1:]), silent=tuple(workers[:1])),
        nodes=tuple(
            NodeHealth(name, state, told[0][1] if told else "")
            for name, state in zip(NODES, states, strict=True)
        ),
        devices=late + more,
        devices_stale=late,
    )
    dated, _ = ProblemHistory().update(find_problems(given_facts), NOW_S)
    for problem in dated:
        line = problem.line(NOW_S)
        assert printable(line, 10_000) == line
        assert problem.head.strip() and problem.cause.strip()
        if " of " in problem.what:
            number, _, total = problem.what.partition(" of ")
            assert int(number.replace(",", "")) < int(total.split()[0].replace(",", ""))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2_000), st.integers(0, 2_000))
def test_some_of_all_is_told_as_all(number: int, more: int) -> None:
    text = some_of(number, number + more, "node")
    assert (" of " in text) is (more > 0)


# Messages that become no reading ---------------------------------------------------------------

_counts = st.integers(0, 3).map(lambda size: 10 * size)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_counts, _counts, _counts), min_size=1, max_size=25))
def test_what_becomes_of_messages_is_told_as_an_account_of_them_says(
    seconds: list[tuple[int, int, int]],
) -> None:
    """Each second so many messages are stored, are refused, and have nothing in them."""
    state, totals, at_s = DashboardState(), [0, 0, 0], NOW_S
    for at_s, second in enumerate(((0, 0, 0), *seconds), int(NOW_S)):
        totals = [total + more for total, more in zip(totals, second, strict=True)]
        one = worker(
            at_s=at_s, received=sum(totals), readings=totals[0], dead_letters=totals[1],
            nothing_in_it=totals[2], last_nothing_in_it="m/empty",
        )  # fmt: skip
        state.apply(Drained(parts=tuple(UP.values()), processes=Processes((one,))))
    found = [one for one in find_problems(state.facts(at_s)) if one.kind == "unreadable"]
    stored_lately = sum(stored for stored, *_ in seconds[-11:])
    unused_lately = sum(sum(unused) for _, *unused in seconds[-11:])
    unused_now = sum(sum(unused) for _, *unused in seconds[-4:])
    stored_now = sum(stored for stored, *_ in seconds[-4:])
    every = bool(found) and found[0].what == "every message"
    if totals[0]:
        assert every is (unused_now > 0 == stored_now or (unused_lately > 0 == stored_lately))
        share = unused_lately / max(stored_lately + unused_lately, 1)
        assert bool(found) is (every or (unused_lately > 0 and share >= 0.2))
        assert all((one.gravity is Gravity.DOWN) is (stored_lately == 0) for one in found)
    else:
        assert every is (totals[1] + totals[2] > 0)


def test_messages_that_are_all_refused_are_told_within_three_seconds_and_few_among_many_are_not() -> None:
    state, total, dead = DashboardState(), 0, 0

    def second(number: int, stored: int, refused: int) -> list[str]:
        nonlocal total, dead
        total, dead = total + stored, dead + refused
        one = worker(
            at_s=NOW_S + number, received=total + dead, readings=total, dead_letters=dead,
            last_refusal="no JSON, on a/b",
        )  # fmt: skip
        state.apply(Drained(parts=tuple(UP.values()), processes=Processes((one,))))
        state.judge(NOW_S + number, NOW_S + number)
        return [f"{each.gravity.name} {each.head}" for each in state.problems]

    told = [second(number, 50 * (number < 12), 2 if number < 12 else 50) for number in range(24)]
    assert told[:12] == [[]] * 12
    first = next(number for number, heads in enumerate(told) if any("every message" in one for one in heads))
    assert first - 12 <= 3
    assert told[-1] == ["DOWN every message refused"]
    healed = [second(number, 50, 0) for number in range(24, 40)]
    assert healed[0] == ["WARNING messages refused in part"]
    assert healed[-1] == []


# The line --------------------------------------------------------------------------------------

SEVERAL = (
    Problem("store", "down", "store", "connection refused (PostgreSQL server h:5432/db)",
            "neither worker can commit", Gravity.DOWN),
    Problem("nodes", "down", "node 127.0.0.1:22122", "connection refused", gravity=Gravity.DOWN),
    Problem("workers", "silent", "worker w1", "it hangs", gravity=Gravity.DOWN),
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "count", "told"),
    [
        (60, 3, "+2: nodes, workers"), (80, 2, "+1: nodes down"), (80, 3, "+2: nodes down, workers silent"),
        (200, 2, "+1: node 127.0.0.1:22122 down"), (40, 3, "+2 more"),
    ],
)  # fmt: skip
async def test_what_else_is_wrong_is_named_as_far_as_there_is_room(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch, width: int, count: int, told: str
) -> None:
    async with run_app((width, 24)) as (app, pilot):
        monkeypatch.setattr(app.state, "judge", lambda *_: None)
        app.state.problems = SEVERAL[:count]
        app.frame()
        await pilot.pause()
        shown = screen_lines(app)[2]
        assert told in shown
        assert "store down" in shown and (width < 60 or "connection refused" in shown)


async def test_one_key_goes_to_what_each_problem_is_about_and_events_list_them_all(run_app: RunApp) -> None:
    async with run_app((80, 24)) as (app, pilot):
        flushed = NodeFigures(name=NODES[1], at_s=app.clock.monotonic(), answered=True)
        flushed = structs.replace(flushed, flushed_at_s=app.clock.monotonic())
        away = Part("store", "down", "connection refused (h:5)", app.clock.monotonic())
        app.feed.mailbox.put_latest(Latest(parts=(away,), node_figures=NodesFigures("ketama", (flushed,))))
        app.frame()
        assert [one.label for one in app.state.problems] == ["down", "flushed"]
        await pilot.press("0")
        assert app.shown_screen == "events"
        text = await until_shown(app, pilot, "▲ node 127.0.0.1:21002 flushed")
        assert text.count("✗ store down") == 3, "in the header, the line and the list"
        await pilot.press("0")
        assert app.shown_screen == "nodes"
        app.frame()
        assert app.screen.query_one(NodeTable).selected == NODES[1]
        await pilot.press("0")
        assert app.shown_screen == "events"


async def test_dead_letters_stand_alone_only_while_a_problem_led_to_them(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_app((80, 24)) as (app, pilot):
        monkeypatch.setattr(app.state, "judge", lambda *_: None)
        app.state.problems = (
            Problem("workers", "refused", "every message", "no JSON", screen="events", place="dead letter"),
        )
        for kind, subject in (("dead_letter", "iot/rubbish"), ("node.down", "node-elsewhere")):
            app.feed.mailbox.put_event(Event(app.clock.now(), kind, Severity.WARNING, subject, "why"))
        app.frame()
        await pilot.press("0")
        assert "node-elsewhere" not in await until_shown(app, pilot, "iot/rubbish")
        await pilot.press("1", "7")
        await until_shown(app, pilot, "iot/rubbish", "node-elsewhere")


# Causes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the broker at h:1883 cannot be reached: connection refused", "connection refused (h:1883)"),
        ("the broker (over TLS) at h:1 cannot be reached: no route", "no route (broker (over TLS) h:1)"),
        ("the broker at h:1883 refuses us: not authorized: check broker.username and broker.password",
         "not authorized: check broker.username and broker.password (h:1883)"),
        ("the connection to the broker at h:1 was lost: it does not answer",
         "connection lost: it does not answer (h:1)"),
        ("the PostgreSQL server at h:5432/db cannot be reached: connection refused",
         "connection refused (PostgreSQL server h:5432/db)"),
        ("the PostgreSQL server at h:5432/db refuses the password",
         "refuses the password (PostgreSQL server h:5432/db)"),
        ("the store /x/y.db is locked by another process", "locked by another process (/x/y.db)"),
        ("the disk of the store /x/y.db is full", "full (disk of the store /x/y.db)"),
        ("locked: by whom?", "locked: by whom?"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_cause_comes_first_then_the_address(text: str, shown: str) -> None:
    assert cause_first(text) == shown


def test_nothing_is_cut_for_machines() -> None:
    mailbox = Mailbox()
    parts = Parts(mailbox, Settings())
    why = "the PostgreSQL server at h:28832/telemetry cannot be reached: connection refused " + "x" * 200
    parts.turn("store", "down", why)
    told = {part.name: part for part in mailbox.drain().parts or ()}
    assert told["store"].text.startswith("connection refused ")
    assert told["store"].text.endswith("x (PostgreSQL server h:28832/telemetry)")


# What follows for who shows it -----------------------------------------------------------------


def test_a_server_that_others_reach_is_not_called_down() -> None:
    given_facts = CASES["broker away for this dashboard"][0]
    shown = {part.name: part.state for part in shown_parts(given_facts.parts, find_problems(given_facts))}
    assert shown == {"broker": "unreached", "nodes": "up", "store": "up"}


def test_an_empty_fleet_says_what_it_waits_for() -> None:
    down = CASES["store down"][0]
    text = waiting_text(down.parts, find_problems(down), 1)
    assert "store down: connection refused (h:5)" in text and "devices appear" not in text
    rubbish = CASES["nothing was ever understood"][0]
    assert "every message refused: no JSON, on a/b" in waiting_text(rubbish.parts, find_problems(rubbish), 1)
    none = CASES["no worker"][0]
    assert "workers not heard" in waiting_text(none.parts, find_problems(none), 0)
    assert "devices appear as soon as they publish" in waiting_text(tuple(UP.values()), (), 1)
    assert "as soon as they publish" not in waiting_text(tuple(UP.values()), (), 0)


def test_events_tell_of_beginning_and_end_once_and_of_what_flickers_not_at_all() -> None:
    history = ProblemHistory()
    down = Problem("store", "down", "store", "refused", gravity=Gravity.DOWN)
    full = Problem("nodes", "full", "node a:1", "9 items/s are evicted")
    (first, second), changes = history.update([down, full], NOW_S)
    assert [change.text for change in changes] == ["down · refused"]
    assert first.since_s == second.since_s == NOW_S
    assert history.update([down, structs.replace(full, cause="8 items/s")], NOW_S + 1)[1] == []
    (first, _), changes = history.update([down, full], NOW_S + STEADY_S)
    assert [change.text for change in changes] == ["full · 9 items/s are evicted"]
    assert first.line(NOW_S + 12) == "store down 12s · refused"
    _, changes = history.update([], NOW_S + 12)
    assert [change.text for change in changes] == [
        "over after 12s: down", "over after 12s: full",
    ]  # fmt: skip
    history.update([full], NOW_S + 13)
    assert history.update([], NOW_S + 14)[1] == []


def test_a_state_keeps_the_list_and_its_log_tells_of_it() -> None:
    state = DashboardState()
    state.apply(Drained(parts=tuple(gone("store", "connection refused (h:5)").values())))
    state.judge(NOW_S, 5.0)
    assert [problem.head for problem in state.problems] == ["store down"]
    (entry,) = state.log.everything()
    assert (entry.kind, entry.severity, entry.subject) == ("part", Severity.ERROR, "store")
    state.apply(Drained(parts=(UP["store"],)))
    state.judge(NOW_S + 20, 25.0)
    assert state.log.everything()[-1].text == "over after 30s: down"


def test_every_cause_has_a_case() -> None:
    fired = {rule for rule in CAUSES for given_facts, _ in CASES.values() if next(rule(given_facts), None)}
    assert {rule.__name__ for rule in CAUSES if rule not in fired} == {"other_parts", "waiting_workers"}
    ended = {"ingest": Part("ingest", "down", "it ended with 1", WENT_S)}
    assert [one.head for one in find_problems(facts(parts=ended, processes=NO_WORKER))] == ["worker down"]
    waits = Processes((worker(waiting_for="broker: x", waiting_broker="x"), worker("w2")))
    assert find_problems(facts(processes=waits))[0].head == "broker not reached by 1 of 2 workers"


def test_reads_that_miss_after_a_flush_are_no_problem_of_their_own() -> None:
    missed = tuple(Second(NOW_S - 7 + n, 100, 20, {MissReason.NEVER_SET: 80}) for n in range(8))
    assert [one.label for one in find_problems(facts(seconds=missed))] == ["missed"]
    assert not find_problems(facts(seconds=missed, lesson=True))
    both = facts(seconds=missed, figures=figures(flushed_at_s=WENT_S))
    assert [one.label for one in find_problems(both)] == ["flushed"]


def test_a_node_that_is_tried_in_vain_is_down_from_its_failure_on() -> None:
    history = ProblemHistory()
    down = Problem("nodes", "down", "node a:1", "refused", gravity=Gravity.DOWN, since_s=NOW_S, kind="down")
    history.update([down], NOW_S + 1)
    tried = structs.replace(down, since_s=NOW_S + 5)
    again = structs.replace(down, since_s=NOW_S + 6)
    for problem in (tried, again):
        ((shown,), _) = history.update([problem], NOW_S + 7)
        assert shown.lasting(NOW_S + 9) == "9s"


def test_a_node_that_is_tried_is_not_said_to_come_back_before_it_has_answered() -> None:
    tried = tuple(structs.replace(node, state=NodeState.PROBING) for node in out(0, 1, 2))
    (problem,) = find_problems(facts(nodes=tried, processes=TOLD))
    assert (problem.label, problem.gravity) == ("down", Gravity.DOWN)


def test_a_count_that_changes_is_no_news_and_an_event_is_dated_by_its_beginning() -> None:
    history = ProblemHistory()
    silent = Problem("simulator", "silent", "2 of 9 devices", "no reading", kind="stale")
    history.update([silent], NOW_S)
    _, (began,) = history.update([silent], NOW_S + STEADY_S)
    assert (began.at_s, began.text) == (NOW_S, "silent · no reading")
    assert history.update([structs.replace(silent, what="all 9 devices")], NOW_S + 4)[1] == []
    assert history.update([], NOW_S + 5)[1][0].at_s == NOW_S + 5


def test_a_store_without_our_tables_refuses_nobody() -> None:
    empty = Part("store", "empty", "has no tables of ours yet (h:5)", NOW_S)
    given_facts = Facts(now_s=NOW_S, parts=(empty,))
    (found,) = find_problems(given_facts)
    assert (found.head, found.gravity) == ("store empty", Gravity.WARNING)
    assert found.effect == "the first worker makes them"


def test_one_node_of_three_is_not_called_all_nodes() -> None:
    parts = (
        ("broker", "up", "mqtt://127.0.0.1:1883"),
        ("nodes", "down", ":42689 (1 of 3)"),
        ("store", "up", "x"),
    )
    bar = TopBar(id="top")
    bar.show(parts, "READ-ONLY LIVE", "12:00:00")
    assert ("down", "1 of 3 nodes down") in bar.pieces(34)


def test_the_header_is_not_all_green_while_a_part_works_worse_than_it_should() -> None:
    given_facts = CASES["evictions"][0]
    shown = {part.name: part.state for part in header_parts(given_facts.parts, find_problems(given_facts))}
    assert shown == {"broker": "up", "nodes": "troubled", "store": "up"}


def test_a_worker_with_faults_is_told_of_last() -> None:
    told = find_problems(facts(processes=Processes((worker(faults=1),))))
    assert [one.line(NOW_S).partition(" · ")[2] for one in told] == [
        "1 exception that nobody foresaw, contained · its log has them"
    ]
