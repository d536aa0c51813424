"""The scenario language: the shipped files, and mistakes named with line and key."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from iotcache.errors import ConfigError, UsageError
from iotcache_simulator.lab.definition.expectations import Check, CheckState, StepChecks, parse_expectation
from iotcache_simulator.lab.definition.metrics import per_second
from iotcache_simulator.lab.definition.scenario import catalogue, find, load, parse
from iotcache_simulator.lab.load import LoadLimit, limited
from iotcache_simulator.readers.workload import ReadSpec
from iotcache_tui.cli.main import main
from tests.conforming import conforming

SHIPPED = {
    "broker-outage", "cache-penetration", "cache-stampede", "cold-start-and-warming", "config-push",
    "database-collapse", "early-refresh", "eviction-pressure", "hot-key", "hot-key-cured",
    "how-much-memory", "invalidate-race", "multiget-hole", "node-crash-and-remap", "scale-out",
    "slab-classes",
    "slow-database", "slow-node", "synchronised-expiry", "ttl-too-long", "ttl-too-short", "which-ttl",
    "write-policies",
}  # fmt: skip
GOOD = """
title = "T"
level = "basic"
minutes = 1
summary = "S"
teaches = ["x"]
explanation = "E"
[[step]]
title = "one"
say = "s"
do = [{ act = "kill", node = 2 }]
expect = ["hit_percent > 80 within 20"]
"""


def test_the_shipped_scenarios_are_all_there_and_teach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, wrong = catalogue()
    assert not wrong
    assert {one.name for one in found} == SHIPPED
    for one in found:
        assert len(one.explanation) > 200
        assert any(step.question is not None for step in one.step)
        assert sum(len(step.expect) for step in one.step) >= 3
        assert all(step.say.strip() for step in one.step)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('level = "basic"', 'level = "easy"', "level: 'easy' cannot be used: it is one of advanced, basic"),
        ("minutes = 1", "minutes = 0", "line 4: minutes"),
        ('summary = "S"\n', "", "the key 'summary' is missing"),
        ('act = "kill"', 'act = "explode"', "line 11: step[0].do[0].act: there is no act 'explode': it may "),
        ("node = 2", "node = 4", "line 11: step[0].do[0].node: the scenario has 3 nodes"),
        ("node = 2", "knot = 2", "line 11: step[0].do[0]"),
        ('"kill", node = 2', '"broker", to = "x"', "'x' cannot be used: it is one of pause, resume, start"),
        ('"kill", node = 2', '"policy", placement = "x"', "is one of ketama, modulo, rendezvous"),
        ("hit_percent", "hits", "line 12: step[0].expect[0]: there is no metric 'hits'"),
        ("hit_percent", "probe_stale_s", "is never measured: no step until then has a write"),
        ("hit_percent", "config_version", "is never measured: no step until then has a config"),
        ("hit_percent", "keys_moved_percent", "is never measured: no step until then changes the list"),
        ("hit_percent >", "then hit_percent >", "'then' follows another expectation"),
        ("[[step]]", 'plot = ["probe_stale_s"]\n[[step]]', "plot[0]: 'probe_stale_s' is never measured"),
        ("hit_percent", "misses.boredom", "there is no such reason"),
        ("hit_percent", "left.hit_percent", "the scenario has no side 'left'"),
        ("> 80", "about 80", "is no expectation: write METRIC OP VALUE"),
        ("within 20", "for 30 within 20", "'for' no longer than it"),
        ("title = \"T\"", "title = ", "is not valid TOML"),
        ("[[step]]", "[stack]\npopularity = \"many\"\n[[step]]", "'many' is no popularity"),
        ("[[step]]", "[[side]]\nname = \"a\"\n[[step]]", "a comparison has two sides"),
        ("expect =", 'point = ["moon"]\nexpect =', "nothing called 'moon' to point at"),
        ('{ act = "kill", node = 2 }', '{ act = "add" }', "nodes to spare: 0"),
        ('{ act = "kill", node = 2 }', '{ act = "page_mover", to = "on" }', "set stack.memcached"),
        ('{ act = "kill", node = 2 }', '{ act = "predict", ttl_s = 9 }', "the advisor reads memcached's own"),
        ("hit_percent", "prediction_error", "no step until then has a predict"),
        ('{ act = "kill", node = 2 }', '{ act = "writers", per_s = 1 }', "stack.writes_per_s is 0"),
        ('{ act = "kill", node = 2 }', '{ act = "store", queue = 9 }', "stack.store_connections is 0"),
        ('"kill", node = 2', '"write", value = 1, behind = true, invalidate = true', "no entry is deleted"),
        ('"kill", node = 2', '"readers", popularity = "written"', "nothing is written"),
        ("> 80", "> 50% of reads", "there is no metric 'reads'"),
        ("> 80", "> 50% of before", "before the first step there is nothing"),
        ("> 80", "> 50% of lost_writes", "is never measured: stack.writes_per_s is 0"),
        ("hit_percent", "lost_writes", "is never measured: stack.writes_per_s is 0"),
        ("hit_percent", "idle_memory_mb", "is never measured: only memcached itself"),
        ("[[step]]", "[stack]\nwrites_per_s = 5\n[[step]]", "with writes_per_s, ingest_writes must be false"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_line_and_key(before: str, after: str, says: str) -> None:
    assert parse(GOOD, "x.toml").step[0].title == "one"
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace(before, after), "x.toml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_predict_is_about_one_thing() -> None:
    stack = "[stack]\nmemcached = true\ningest_writes = false\n[[step]]"
    text = GOOD.replace("[[step]]", stack, 1)
    for keys in ("", ", ttl_s = 9, memory_mb = 9"):
        with pytest.raises(ConfigError, match="either memory_mb or ttl_s"):
            parse(text.replace('{ act = "kill", node = 2 }', f'{{ act = "predict"{keys} }}'), "x.toml")


def test_neither_its_place_nor_its_length_gives_a_right_answer_away() -> None:
    asked = [step.question for one in catalogue()[0] for step in one.step if step.question is not None]
    places = Counter(question.right for question in asked)
    longest = sum(
        len(question.answers[question.right - 1]) == max(map(len, question.answers)) for question in asked
    )
    assert max(*places.values(), longest) <= 0.4 * len(asked), (places, longest)


SIDES = """
[stack]
ingest_writes = false
[[side]]
name = "a"
[[side]]
name = "b"
[[step]]"""


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("hit_percent", "'hit_percent': each side has its own: write a.hit_percent or b.hit_percent"),
        ("misses.expired", "write a.misses.expired or b.misses.expired"),
        ("a.evictions_per_s", "both sides have it together: write evictions_per_s"),
    ],
)
def test_with_sides_a_metric_is_named_as_it_is_measured(metric: str, says: str) -> None:
    text = GOOD.replace("[[step]]", SIDES)
    for bad in (
        text.replace("hit_percent", metric),
        f'plot = ["{metric}"]\n' + text.replace('["hit_', '["a.hit_'),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(bad, "x.toml")
        assert says in str(caught.value)


def test_a_users_own_folder_comes_first_and_near_names_are_offered(tmp_path: Path) -> None:
    own = tmp_path / "hot-key.toml"
    own.write_text(GOOD)
    assert find("hot-key", [str(tmp_path)]).title == "T"
    assert find(str(own)).file == str(own)
    with pytest.raises(UsageError, match="did you mean hot-key"):
        find("hot-kee")
    with pytest.raises(UsageError, match="no scenario"):
        find("../../etc/passwd")


def test_lab_new_writes_a_scenario_that_loads_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "new", "mine"]) == 0
    assert load("mine.toml").title == "My scenario"
    assert main(["lab", "new", "mine"]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["lab", "new", "My_Own"]) == 2
    assert "small letters" in capsys.readouterr().err
    assert not Path("My_Own.toml").exists()
    assert main(["lab", "run", "mine", "--headless"]) == 2
    assert "did you mean the file mine.toml?" in capsys.readouterr().err
    assert main(["lab", "run", "mine.toml", "--headless", "--record", "x"]) == 2
    assert main(["lab", "list", "--folder", "nowhere"]) == 2
    assert "--folder nowhere: there is no such folder" in capsys.readouterr().err


def test_lab_list_as_json_and_with_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "list", "--json"]) == 0
    assert {one["name"] for one in conforming("lab-list", capsys.readouterr().out)} == SHIPPED
    (tmp_path / "bad.toml").write_text("title = 3")
    assert main(["lab", "list", "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "hot-key" in printed.out
    assert "bad.toml, line 1" in printed.err
    assert main(["lab", "run"]) == 2
    assert main(["lab", "run", "nothing-like-it", "--headless"]) == 2


def judged(text: str, *values: float | None) -> Check:
    check = Check(parse_expectation(text, ()))
    for second, value in enumerate(values, 1):
        check.update({"hit_percent": value}, float(second))
    return check


def test_a_check_turns_green_once_it_held_long_enough_and_red_when_time_is_over() -> None:
    assert judged("hit_percent > 80 within 5", 10, 20).state is CheckState.PENDING
    assert judged("hit_percent > 80 within 5", 10, 90).state is CheckState.GREEN
    assert judged("hit_percent > 80 for 3 within 9", 90, 90, 10, 90, 90).state is CheckState.PENDING
    assert judged("hit_percent > 80 for 3 within 9", 90, 10, 90, 90, 90).state is CheckState.GREEN
    gaps = "hit_percent > 80 for 3 within 9"
    assert judged(gaps, 90, None, 90, None, None, 90).state is CheckState.GREEN
    assert judged(gaps, 90, None, None, 90, None).state is CheckState.PENDING
    assert judged(gaps, 90, None, 10, 90, 90).state is CheckState.PENDING
    late = judged("hit_percent > 80 within 3", None, None, None, 99)
    assert late.state is CheckState.RED
    assert "nothing was measured" in late.describe()
    assert judged("hit_percent == 0 within 3", 0.0).state is CheckState.GREEN


def test_what_follows_another_is_judged_only_once_that_is_green() -> None:
    texts = (
        "nodes_up == 3 within 5",
        "then hit_percent > 80 for 2 within 4",
        "then hit_percent > 90 within 9",
    )
    checks = StepChecks([parse_expectation(text, ()) for text in texts])

    clock = count(1)

    def states(*seconds: tuple[float, float]) -> list[str]:
        for nodes, hit in seconds:
            checks.update({"nodes_up": nodes, "hit_percent": hit}, float(next(clock)))
        return [check.state.value for check in checks.checks]

    assert states((2, 97), (2, 97), (2, 97)) == ["pending"] * 3, "a hit ratio of before proves nothing"
    assert states((3, 97)) == ["green", "pending", "pending"], "nor that of the very second"
    assert states((3, 60), (3, 99)) == ["green", "pending", "pending"]
    assert states((3, 99), (3, 99)) == ["green", "green", "green"]
    late = StepChecks([parse_expectation(text, ()) for text in texts])
    for second in range(6):
        late.update({"nodes_up": 2, "hit_percent": 99}, float(second))
    assert [check.state.value for check in late.checks] == ["red", "red", "red"]
    assert late.settled


@pytest.mark.parametrize(
    ("text", "figures", "state"),
    [
        ("store_reads_per_s < 20% of reads_per_s", {"store_reads_per_s": 40, "reads_per_s": 400}, "green"),
        ("store_reads_per_s < 20% of reads_per_s", {"store_reads_per_s": 10, "reads_per_s": 20}, "red"),
        # Where nobody reads nothing is proved, however little the database is asked.
        ("store_reads_per_s < 20% of reads_per_s", {"store_reads_per_s": 0, "reads_per_s": 0}, "red"),
        ("store_reads_per_s < 20% of reads_per_s", {"store_reads_per_s": 0, "reads_per_s": 9}, "green"),
        ("p50_ms < 60% of before", {"p50_ms": 290.0}, "green"),
        ("p50_ms < 60% of before", {"p50_ms": 310.0}, "red"),
        ("hit_percent > 130% of before", {"hit_percent": 99.0}, "red"),
    ],
)
def test_a_share_holds_whatever_the_machine_gives(text: str, figures: dict[str, float], state: str) -> None:
    checks = StepChecks([parse_expectation(f"{text} within 1", ())], {"p50_ms": 500.0, "hit_percent": None})
    checks.update(figures, 1.0)
    assert checks.checks[0].state.value == state


def test_readers_ask_for_less_only_where_the_machine_is_what_is_slow() -> None:
    limit = LoadLimit()

    def looks(number: int, given: float, late_s: float) -> list[str]:
        said = [limit.look(400 * limit.factor, given, late_s) for _ in range(number)]
        return [text for text in said if text is not None]

    assert looks(9, 40, 0.001) == [], "a slow database is what a lesson is about"
    assert looks(9, 390, 0.3) == [], "late, and all reads are made"
    assert looks(3, 200, 0.3) + looks(1, 390, 0.3) + looks(3, 200, 0.3) == []
    assert looks(1, 200, 0.3) == ["this machine gives only 200 of 400 reads/s: 160 are asked for"]
    assert looks(9, 150, 0.3) == []
    assert looks(20, 10, 0.3)[-1].endswith(": 100 are asked for")
    assert (looks(20, 1, 0.3), limit.factor) == ([], 0.25)
    less = limited(ReadSpec(rate=400, batch=25, in_flight=200), limit.factor)
    assert (less.rate, less.in_flight) == (100, 10)
    assert limited(ReadSpec(rate=400, batch=1, in_flight=64), 0.5).in_flight == 64


def test_a_look_that_comes_late_counts_no_more_than_a_second() -> None:
    figures = {
        "reads_per_s": 300.0,
        "a.misses.expired": 30.0,
        "hit_percent": 90.0,
        "items": 9.0,
        "p99_ms": None,
    }
    kept = {"store_reads_of_one_key": 20.0}
    assert per_second(figures | kept, 1.1) == figures | kept
    assert per_second(figures | kept, 3.0) == figures | kept | {
        "reads_per_s": 100.0,
        "a.misses.expired": 10.0,
    }
