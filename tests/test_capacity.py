"""The capacity model: what it rests on, and that it moves the right way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from iotcache import capacity
from iotcache.capacity import Fleet, item_bytes, plan
from iotcache_tui.cli.main import main
from tests.conforming import conforming

FLEET = Fleet(devices=1_000_000, interval_s=30.0, ttl_s=90.0)


def test_a_fleet_by_hand() -> None:
    made = plan(FLEET)
    assert made.readings_per_s == pytest.approx(1_000_000 / 30)
    assert made.bytes_per_s == pytest.approx(1_000_000 / 30 * (140 + capacity.PUBLISH_OVERHEAD_BYTES))
    assert made.items == 3_000_000  # one reading, metadata and configuration each
    assert made.rows_per_day == pytest.approx(2.88e9)
    needs = {need.part: need for need in made.needs}
    assert needs["ingest"].count == 2  # 33,333 / (30,000 * 0.8)
    assert needs["broker"].count == 3  # a million connections by half a million, and one to spare
    assert needs["cache"].count == 2
    assert made.first_to_saturate.used == max(need.used for need in made.needs)


def test_an_item_of_the_model_is_about_what_memcached_says() -> None:
    # memcached 1.6.18 reports size=209 of 240-byte chunks for such an item; see `lru_crawler metadump`.
    assert 200 <= item_bytes(capacity.READING_BYTES) <= 250


def test_small_fleets_stay_on_one_file_and_one_broker() -> None:
    needs = {need.part: need for need in plan(Fleet(devices=100, interval_s=30.0)).needs}
    assert needs["store"].what == "SQLite file"
    assert needs["broker"].what == "mosquitto"
    assert needs["cache"].count == 2, "one may be lost"


@given(
    st.integers(1, 10**7),
    st.floats(0.1, 3_600),
    st.floats(1, 86_400),
    st.integers(1, 200),
    st.floats(0.5, 1.0),
)
def test_more_devices_never_need_less_and_nothing_is_planned_beyond_its_capacity(
    devices: int, interval_s: float, ttl_s: float, packed: int, hit: float
) -> None:
    small = plan(
        Fleet(devices=devices, interval_s=interval_s, ttl_s=ttl_s, readings_per_message=packed, hit_ratio=hit)
    )
    large = plan(structs.replace(small.fleet, devices=devices * 2))
    for name in ("messages_per_s", "bytes_per_s", "items", "cache_bytes", "rows_per_day"):
        assert getattr(large, name) >= getattr(small, name)
    assert all(need.count >= 1 for need in small.needs)
    assert all(
        need.used <= 1.0 + 1e-9 for need in small.needs if need.what not in ("mosquitto", "SQLite file")
    )


def test_a_longer_ttl_than_the_interval_keeps_no_second_entry() -> None:
    assert plan(FLEET).items == plan(structs.replace(FLEET, ttl_s=900.0)).items
    assert plan(structs.replace(FLEET, ttl_s=15.0)).items < plan(FLEET).items


def test_the_command_says_what_is_full_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--devices", "1000000", "--interval", "30", "--ttl", "90"]) == 0
    said = capsys.readouterr().out
    assert "Full first: the store" in said
    assert all(len(line) <= 80 for line in said.splitlines())
    assert main(["plan", "--devices", "1000000", "--interval", "30", "--json"]) == 0
    data = conforming("plan", capsys.readouterr().out)
    assert data["first_to_saturate"] == "store"
    assert main(["plan", "--devices", "0", "--interval", "30"]) == 2
    assert "--devices is 0, allowed is 1" in capsys.readouterr().err
    assert main(["plan", "--devices", "5", "--interval", "nan"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--devices", "20000000000"], "--devices is 20,000,000,000, allowed is 1 to 10,000,000,000"),
        (["--ttl", "0"], "--ttl is 0.0, allowed is 1 to"),
        (["--retention", "0"], "--retention is 0.0, allowed is 1 to"),
        (["--per-message", "10001"], "allowed is 1 to 10,000"),
        (
            ["--per-message", "10000"],
            "makes messages of 1,400,000 bytes, of which a worker takes 1,048,576 at",
        ),
        (["--hit-ratio", "98"], "--hit-ratio is 98.0, allowed is 0 to 1"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--devices", "5", "--interval", "30", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_no_reads_at_all_are_planned_as_none() -> None:
    assert plan(structs.replace(FLEET, reads_per_s=0.0)).store_reads_per_s == 0
    assert plan(FLEET).store_reads_per_s == pytest.approx(1_000_000 / 30 * 0.02)
