"""Units and times as the reader likes them."""

from __future__ import annotations

import pytest

from iotcache_tui.format import clock_text, use_zone
from iotcache_tui.units import shown_unit, shown_value
from tests.tui.conftest import RunApp, screen_lines, screen_text


@pytest.mark.parametrize(
    ("value", "unit", "system", "shown", "shown_in"),
    [
        (-40.0, "°C", "imperial", -40.0, "°F"),
        (100, "°C", "imperial", 212.0, "°F"),
        (212.0, "°F", "metric", 100.0, "°C"),
        (100.0, "km/h", "imperial", 62.137, "mph"),
        (1.0, "bar", "imperial", 14.504, "psi"),
        (5.0, "kW", "imperial", 5.0, "kW"),
        (20.0, "°C", "as sent", 20.0, "°C"),
        (20.0, "°C", "metric", 20.0, "°C"),
        (True, "°C", "imperial", True, "°F"),
        ("on", "m", "imperial", "on", "ft"),
        (None, "m", "imperial", None, "ft"),
    ],
)
def test_only_known_units_are_converted(
    value: object, unit: str, system: str, shown: object, shown_in: str
) -> None:
    got = shown_value(value, unit, system)  # type: ignore[arg-type]
    assert got == (pytest.approx(shown, abs=1e-3) if isinstance(shown, float) else shown)
    assert shown_unit(unit, system) == shown_in  # type: ignore[arg-type]


def test_the_clock_is_that_of_the_zone_asked_for() -> None:
    try:
        use_zone("UTC")
        assert clock_text(1_750_000_000.0) == "15:06:40"
        use_zone("Asia/Kolkata")
        assert clock_text(1_750_000_000.0) == "20:36:40"
    finally:
        use_zone("local")


async def test_the_fleet_shows_them(run_app: RunApp) -> None:
    async with run_app(units="imperial", time_zone="Asia/Tokyo") as (app, _):
        try:
            row = next(line for line in screen_lines(app) if "cold-room-0001" in line)
            assert "°F" in row
            assert "2." in row  # -16.22 °C
            assert "00:23:20" in screen_text(app)
            assert app.state.fleet.value[0] == pytest.approx(-16.22, abs=0.01)
        finally:
            use_zone("local")
