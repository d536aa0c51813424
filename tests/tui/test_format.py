"""Figures keep their width and never say more than is true."""

from __future__ import annotations

import unicodedata
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from iotcache.text import plural, printable
from iotcache_tui.format import (
    aligned_value,
    bar,
    count,
    data_size,
    duration,
    fit,
    fit_middle,
    milliseconds,
    number,
    percent,
    rate,
    short_nodes,
    sparkline,
)
from iotcache_tui.state.fleet.fleet_state import NAMES
from iotcache_tui.widgets.common.table_fields import lay_out
from iotcache_tui.widgets.fleet.fleet_columns import BY_KEY, DEFAULT_COLUMNS, NAME_CELLS_MOST, sized


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_fit_is_exactly_as_wide_as_asked(text: str, width: int, right: bool) -> None:
    safe = printable(text)
    assert cell_len(fit(safe, width, right)) == width
    assert cell_len(fit_middle(safe, width)) == width


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30)),
    st.integers(7, 12),
)
def test_a_value_of_any_kind_fills_its_column(value: float | int | bool | str | None, width: int) -> None:
    assert cell_len(aligned_value(value, width)) == width


@given(st.one_of(st.integers(-(10**18), 10**18), st.floats(-1e300, 1e300)), st.integers(7, 12))
def test_a_number_is_rounded_and_never_cut(value: float, width: int) -> None:
    text = aligned_value(value, width).strip()
    assert "…" not in text
    scale = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}.get(text[-1], 1.0)
    shown = float(text.rstrip("TGMk")) * scale
    assert shown == pytest.approx(float(value), rel=0.5, abs=0.5)


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (181802.123, 7, "181802"),
        (1e300, 7, "1e+300"),
        (-1e-7, 7, "-1e-07"),
        (-1e-300, 7, "-1e-300"),
        (123456789.12, 8, "123.46M"),
        (12345678901234567890, 7, "1.2e+19"),
    ],
)
def test_long_numbers(value: float, width: int, text: str) -> None:
    assert aligned_value(value, width).strip() == text


@given(st.floats(0, 1e12))
def test_durations_take_at_most_four_cells(seconds: float) -> None:
    assert len(duration(seconds)) <= 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (99, "99s"), (180, "3m"), (7300, "2h"), (inf, "∞"), (nan, "–"), (-3, "0s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_ratio_below_one_never_reads_as_a_hundred() -> None:
    assert percent(99.999) == "99.9%"
    assert percent(100.0) == "100%"
    assert percent(None) == "–"


def test_bars_and_sparklines_have_their_width_in_both_alphabets() -> None:
    for ascii_only in (False, True):
        for share in (0.0, 0.01, 0.5, 0.999, 1.0, 7.0):
            assert len(bar(share, 9, ascii_only)) == 9
        assert len(sparkline([1.0, nan, 3.0], 9, ascii_only)) == 9
        assert sparkline([], 4, ascii_only) == "    "
    assert bar(0.01, 9).strip()
    assert bar(1.0, 3) == "███"


def test_rates_and_latencies_stay_short() -> None:
    for value in (0, 0.25, 9.96, 99.9, 1234.5, 25_000, 3e6):
        assert len(rate(value)) <= 6
        assert len(milliseconds(value)) <= 7


def test_nodes_on_one_host_are_told_by_port() -> None:
    assert short_nodes(["h:1", "h:2"]) == {"h:1": ":1", "h:2": ":2"}
    assert short_nodes(["a:1", "b:1"]) == {"a:1": "a", "b:1": "b"}
    assert short_nodes(["h:1"]) == {"h:1": "h:1"}


@pytest.mark.parametrize("width", range(20, 260, 7))
def test_columns_never_exceed_the_width_and_the_essential_ones_stay(width: int) -> None:
    columns = lay_out(width, [BY_KEY[key] for key in DEFAULT_COLUMNS])
    assert sum(size for _, size in columns) + len(columns) - 1 <= width
    keys = [column.key for column, _ in columns]
    if width >= 40:
        assert {"state", "device", "value"} <= set(keys)
    if width >= 79:
        assert {"sensor", "unit", "trend", "age", "ttl", "source", "hit", "node"} <= set(keys)


@pytest.mark.parametrize("longest", [4, 14, 24, 60])
def test_names_are_whole_before_curves_and_bars_grow(longest: int) -> None:
    for width in range(80, 260, 7):
        fields = [
            sized(BY_KEY[key], longest if key in ("device", "sensor") else 0) for key in DEFAULT_COLUMNS
        ]
        columns = {field.key: (size, field) for field, size in lay_out(width, fields, first=NAMES)}
        assert sum(size for size, _ in columns.values()) + len(columns) - 1 <= width
        cut = any(columns[key][0] < min(longest, NAME_CELLS_MOST) for key in ("device", "sensor"))
        assert not cut or all(
            columns[key][0] == columns[key][1].least for key in ("trend", "ttl") if key in columns
        )


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cache1.example.org:11211", "cache2.example.org:11211"], ["cache1", "cache2"]),
        (["a.x.org:1", "a.y.org:1"], ["a.x", "a.y"]),
        (["10.1.3.17:11211", "10.1.3.18:11211", "10.1.4.2:11211"], ["…3.17", "…3.18", "…4.2"]),
        (["10.0.0.1:1", "10.0.0.2:2"], ["…1:1", "…2:2"]),
        (["[::1]:11211", "[::2]:11211"], ["[::1]", "[::2]"]),
        (["/run/a.sock", "h:1"], ["/run/a.sock", "h:1"]),
        (["one:1"], ["one:1"]),
    ],
)
def test_what_differs_is_what_is_left_of_nodes_names(names: list[str], shown: list[str]) -> None:
    short = short_nodes(names)
    assert [short[name] for name in names] == shown
    assert len(set(short.values())) == len(names)


@given(value=st.floats(min_value=0, max_value=1e12), width=st.integers(7, 12))
def test_no_figure_is_wider_than_its_column(value: float, width: int) -> None:
    assert len(duration(value)) <= 4
    assert len(count(int(value))) <= 5
    assert len(data_size(min(value, 1e15))) <= 5
    assert len(rate(min(value, 9.9e9))) <= 7
    assert len(percent(value)) <= 5
    assert len(number(value)) <= 9
    assert cell_len(aligned_value(value, width)) == width
    assert all(cell_len(bar(value, cells, plain)) == cells for cells in (4, width) for plain in (True, False))


@given(text=st.text(), width=st.integers(0, 30))
def test_every_text_fits_its_cells_and_nothing_of_it_steers_the_terminal(text: str, width: int) -> None:
    shown = printable(text, 60)
    for fitted in (fit(shown, width), fit(shown, width, right=True), fit_middle(shown, width)):
        assert cell_len(fitted) == width
    hidden = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Me"}
    assert not [char for char in shown if unicodedata.category(char) in hidden]


@pytest.mark.parametrize("name", ["तापमान-संवेदक", "อุณหภูมิ", "hội-trường", "温度計", "Ä-Öl"])
def test_names_of_all_scripts_are_shown_as_they_are(name: str) -> None:
    assert printable(name) == name
    decomposed = unicodedata.normalize("NFD", name)
    assert printable(decomposed) == decomposed


def test_marks_that_belong_to_no_letter_or_pile_up_are_escaped() -> None:
    assert printable("\u0301x") == "\\u0301x"
    assert printable("a" + "\u0301" * 6) == "a" + "\u0301" * 4 + "\\u0301" * 2
    assert printable("a\ufe0f 1\u20e3 x\u202ey") == "a\\ufe0f 1\\u20e3 x\\u202ey"


@pytest.mark.parametrize("number", [0, 1, 2, 1_000])
def test_one_of_a_thing_is_told_as_one(number: int) -> None:
    assert plural(number, "thread").endswith("thread" if number == 1 else "threads")
    assert plural(number, "failed batch", "failed batches").endswith("batch" if number == 1 else "batches")
