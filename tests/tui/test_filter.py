"""The filter language: what passes, what is refused and how it is completed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.model import MissReason, Read, Series, Source
from iotcache.store.base import SeriesInfo
from iotcache_tui.state.fleet.filter import FilterError, complete, completions, parse
from iotcache_tui.state.fleet.fleet_state import FleetState
from iotcache_tui.state.fleet.view import FleetView
from iotcache_tui.state.updates import RowUpdate

NOW_S, WALL_S = 1000.0, 100_000.0


@pytest.fixture
def fleet() -> FleetState:
    """cold-room-1 … 3 (cache, 30 s left), pump-1 (store, stale, expired), hvac-7 (no value yet)."""
    fleet = FleetState()
    fleet.wall_less_monotonic_s = WALL_S - NOW_S
    rows = [("cold-room-1", "temperature", "plant-north"), ("cold-room-2", "temperature", "plant-south"),
            ("cold-room-3", "humidity", "plant-north"), ("pump-1", "pressure", "harbour east"),
            ("hvac-7", "stale", "plant-north")]  # fmt: skip
    for number, (device, sensor, site) in enumerate(rows):
        fleet.join(SeriesInfo(Series(device, sensor), site, "u", 10.0, number))
    for row in range(3):
        read = Read(*fleet.series[row], value=row * 10.0, source=Source.CACHE, node="n:1",
                    ttl_s=30.0 - row * 10, ts_us=int((WALL_S - 5) * 1e6), interval_s=10.0)  # fmt: skip
        fleet.apply_read(RowUpdate(row, read, NOW_S, 10, 10 - row))
    read = Read(*fleet.series[3], value=4.2, source=Source.STORE, node="n:2", miss_reason=MissReason.EXPIRED,
                ts_us=int((WALL_S - 500) * 1e6), interval_s=10.0)  # fmt: skip
    fleet.apply_read(RowUpdate(3, read, NOW_S, 10, 0))
    return fleet


def passing(fleet: FleetState, text: str) -> list[str]:
    rows = parse(text).rows(fleet, range(len(fleet)), NOW_S, WALL_S)
    return [fleet.device[row] for row in rows]


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("", ["cold-room-1", "cold-room-2", "cold-room-3", "pump-1", "hvac-7"]),
        ("site:plant-north sensor:temp*", ["cold-room-1"]),
        ("class:cold-room !north", ["cold-room-2"]),
        ('site:"harbour east"', ["pump-1"]),
        ("src:store or sensor:humidity", ["cold-room-3", "pump-1"]),
        ("cold-room-1 or ttl<15 OR pump", ["cold-room-1", "cold-room-3", "pump-1"]),
        ("site:plant-north sensor:temp* or site:harb*", ["cold-room-1", "pump-1"]),
        ("src:store or", ["pump-1"]),
        ("value:20* or value=4.2", ["cold-room-3", "pump-1"]),
        ("device:*-1", ["cold-room-1", "pump-1"]),
        ("src:store", ["pump-1"]),
        ("from:c", ["cold-room-1", "cold-room-2", "cold-room-3"]),
        ("why:expired", ["pump-1"]),
        ("node:n:1", ["cold-room-1", "cold-room-2", "cold-room-3"]),
        ("ttl<25", ["cold-room-2", "cold-room-3"]),
        ("ttl<=0.5m !ttl<25s", ["cold-room-1"]),
        ("hit<90", ["cold-room-3", "pump-1"]),
        ("hit<90%", ["cold-room-3", "pump-1"]),
        ("value>=10", ["cold-room-2", "cold-room-3"]),
        ("age>1m", ["pump-1"]),
        ("stale", ["pump-1"]),
        ("live", ["cold-room-1", "cold-room-2", "cold-room-3"]),
        ("gone", ["pump-1", "hvac-7"]),
        ('"stale"', ["hvac-7"]),
        ("COLD 3", ["cold-room-3"]),
    ],
)
def test_terms_must_all_hold(fleet: FleetState, text: str, devices: list[str]) -> None:
    assert passing(fleet, text) == devices


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sit:north", "did you mean site?"),
        ("foo:x", "the fields are device, sensor"),
        ("ttl<soon", "for instance ttl<5s"),
        ("ttl<5%", "for instance ttl<5s"),
        ("value>3s", "for instance value>5"),
        ("site>3", "write site:"),
        ("src:disk", "cache, store or none"),
        ("site:", "site: what?"),
        ("tl<5", "did you mean ttl?"),
    ],
)
def test_a_mistake_is_said_in_one_sentence_with_the_way_out(text: str, says: str) -> None:
    with pytest.raises(FilterError, match=r".") as caught:
        parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_at_all_breaks_it(text: str) -> None:
    fleet = FleetState()
    fleet.join(SeriesInfo(Series("d", "s"), "x", "", 1.0, 0))
    try:
        parse(text).rows(fleet, range(1), 0.0, 0.0)
    except FilterError as error:
        assert str(error).isprintable()
    completions(text, fleet)


def test_completion_knows_fields_flags_and_values(fleet: FleetState) -> None:
    assert complete("si", fleet) == "site:"
    assert complete("stale !src:st", fleet) == "stale !src:store"
    assert completions("site:pl", fleet) == ["site:plant-north", "site:plant-south"]
    assert completions("site:h", fleet) == ['site:"harbour east"']
    assert complete("site:plant-north", fleet) is None
    assert completions("", fleet) == []


def test_a_wrong_filter_leaves_the_one_before_in_force(fleet: FleetState) -> None:
    view = FleetView(fleet)
    view.set_filter("pump")
    view.set_filter("pump ttl<")
    assert view.filter_error
    assert [fleet.device[row] for row in view.order] == ["pump-1"]
    view.set_filter("")
    assert not view.filter_error
    assert len(view.order) == 5


def test_groups_have_headings_with_sums_and_the_cursor_passes_over_them(fleet: FleetState) -> None:
    view = FleetView(fleet)
    view.at(NOW_S, WALL_S)
    view.set_group("site")
    assert [(group.name, group.rows, group.stale, group.cached) for group in view.groups] == [
        ("harbour east", 1, 1, 0), ("plant-north", 3, 0, 2), ("plant-south", 1, 0, 1),
    ]  # fmt: skip
    assert [line for line in view.lines if line < 0] == [-1, -2, -3]
    view.move_to(0)
    assert fleet.device[view.selected or 0] == "pump-1"
    view.move_to(view.cursor + 1, 1)
    assert fleet.device[view.selected or 0] == "cold-room-1"
    view.move_to(view.cursor - 1, -1)
    assert fleet.device[view.selected or 0] == "pump-1"
    view.set_group("site", folded=True)
    assert view.lines == [-1, -2, -3]
    view.move_to(1)
    assert view.selected_group == "plant-north"
    assert {fleet.device[row] for row in view.acted_on()} == {"cold-room-1", "cold-room-3", "hvac-7"}
    view.set_group("")
    assert view.lines == view.order


def test_values_that_are_words_or_switches_are_found_by_what_is_shown(fleet: FleetState) -> None:
    values: tuple[bool | str, ...] = (True, False, "door open")
    for row, value in enumerate(values):
        read = Read(*fleet.series[row], value=value, source=Source.CACHE)
        fleet.apply_read(RowUpdate(row, read, NOW_S, 1, 1))
    assert passing(fleet, "value:off") == passing(fleet, "value=off") == ["cold-room-2"]
    assert passing(fleet, "value:on or value:true") == ["cold-room-1"]
    assert passing(fleet, "value:door*") == passing(fleet, 'value:"door open"') == ["cold-room-3"]
    assert passing(fleet, "!value:off cold") == ["cold-room-1", "cold-room-3"]
    assert completions("value:o", fleet) == ["value:off", "value:on"]


@pytest.mark.parametrize("text", ["or stale", "stale or or gone", "ttl <5", "<5"])
def test_a_choice_of_nothing_and_a_blank_in_a_comparison_are_told_of(text: str) -> None:
    with pytest.raises(FilterError, match=r"or stands between|no blank before|ttl"):
        parse(text)
