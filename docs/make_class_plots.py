"""Draws what each shipped device class measures in an hour and in a day: docs/classes/*.svg.

Run by ``make class-plots``. The pictures are for people who know such devices: would they believe them?
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from iotcache_simulator.fleet.classes import shipped_classes
from iotcache_simulator.fleet.definition import DeviceClass, Sensor
from iotcache_simulator.fleet.roster import Roster, SensorFunction
from iotcache_simulator.fleet.stream import VIRTUAL_EPOCH_US

FOLDER = Path(__file__).parent / "classes"
DEVICE = 0
HOUR_S, DAY_S = 3_600, 86_400
DAY_BEGINS_US = VIRTUAL_EPOCH_US // (DAY_S * 1_000_000) * DAY_S * 1_000_000
Stretch = tuple[int, int]
"""Begin (µs since the epoch) and length (s)."""
LEFT, PANEL, GAP, HEIGHT, TOP = 70, 420, 70, 96, 58
STYLE = """text{font:11px sans-serif;fill:#333}.title{font:bold 14px sans-serif}
.axis{stroke:#bbb;stroke-width:1}
.line{fill:none;stroke:#1f5fa8;stroke-width:1.1}.grid{stroke:#eee;stroke-width:1}"""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for kind in shipped_classes():
        (FOLDER / f"{kind.name}.svg").write_text(picture(kind), "utf-8")


def picture(kind: DeviceClass) -> str:
    """One class: a row a sensor, an hour on the left, the day around it on the right; a drive as a map."""
    roster = Roster(1, 1, [kind])
    functions = roster.functions[0]
    key = roster.keys[DEVICE]
    rows: list[str] = []
    columns: list[Stretch] = [(VIRTUAL_EPOCH_US, HOUR_S), (DAY_BEGINS_US, DAY_S)]
    y = TOP
    for function in functions:
        for n, stretch in enumerate(columns):
            rows.append(panel(function, key, stretch, LEFT + n * (PANEL + GAP), y))
        y += HEIGHT + 34
    if {"lat", "lon"} <= {sensor.name for sensor in kind.sensor}:
        for n, stretch in enumerate(columns):
            rows.append(drive(functions, key, stretch, LEFT + n * (PANEL + GAP), y))
        y += 330
    width = LEFT + 2 * PANEL + GAP + 30
    day = datetime.fromtimestamp(VIRTUAL_EPOCH_US / 1e6, UTC)
    title = f"{roster.names[DEVICE]}, {kind.description}: {day:%-d %B %Y}, 15:00 to 16:00 UTC, and the day"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}">\n'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def values(function: SensorFunction, key: int, stretch: Stretch) -> list[tuple[float, float]]:
    """``(seconds, value)`` at the sensor's own interval, or coarser where no eye would see more."""
    begin_us, length_s = stretch
    step_s = max(function.sensor.interval_s, length_s / 720)
    states = function.sensor.states
    if function.sensor.kind != "number":
        step_s = min(step_s, 20.0)  # a door is open for less than a pixel
    found = []
    for n in range(int(length_s / step_s) + 1):
        value = function.measure(key, begin_us + round(n * step_s * 1e6))
        found.append((n * step_s, float(states.index(value)) if isinstance(value, str) else float(value)))
    return found


def panel(function: SensorFunction, key: int, stretch: Stretch, x: int, y: int) -> str:
    """One sensor over one stretch of time."""
    begin_us, length_s = stretch
    sensor = function.sensor
    points = values(function, key, stretch)
    low, high = extent([value for _, value in points], sensor)
    stepped = sensor.kind != "number"
    path: list[str] = []
    before, last = 0.0, -1.0
    for seconds, value in points:
        if stepped and value == last and 0 < seconds < length_s:
            continue
        last = value
        across, up = x + PANEL * seconds / length_s, y + HEIGHT * (1 - (value - low) / (high - low))
        if stepped and path:
            path.append(f"{across:.1f},{before:.1f}")
        path.append(f"{across:.1f},{up:.1f}")
        before = up
    hours = [clock(begin_us + round(length_s * 1e6 * n / 4)) for n in range(5)]
    label = sensor.name + (f" ({sensor.unit})" if sensor.unit else "")
    parts = [f'<text x="{x}" y="{y - 6}">{escape(label)}</text>']
    for n, hour in enumerate(hours):
        at = x + PANEL * n / 4
        parts.append(f'<line class="grid" x1="{at}" y1="{y}" x2="{at}" y2="{y + HEIGHT}"/>')
        parts.append(f'<text x="{at}" y="{y + HEIGHT + 13}" text-anchor="middle">{hour}</text>')
    ticks = list(enumerate(sensor.states)) or [(end, f"{end:.{sensor.precision}f}") for end in (low, high)]
    if sensor.kind == "boolean":
        ticks = [(0, "false"), (1, "true")]
    for at_value, text in ticks:
        up = y + HEIGHT * (1 - (at_value - low) / (high - low))
        parts.append(f'<text x="{x - 4}" y="{up + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    parts.append(f'<rect class="axis" x="{x}" y="{y}" width="{PANEL}" height="{HEIGHT}" fill="none"/>')
    parts.append(f'<polyline class="line" points="{" ".join(path)}"/>')
    return "".join(parts)


def clock(at_us: int) -> str:
    """The time of day (UTC)."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%H:%M}"


def extent(found: Sequence[float], sensor: Sensor) -> tuple[float, float]:
    """What the axis spans: the values, and some room."""
    if sensor.kind != "number":
        return 0.0, max(1.0, len(sensor.states) - 1.0)
    low, high = min(found), max(found)
    room = max((high - low) * 0.06, 10**-sensor.precision)
    return max(low - room, sensor.range[0]), min(high + room, sensor.range[1])


def drive(functions: Sequence[SensorFunction], key: int, stretch: Stretch, x: int, y: int) -> str:
    """The way on a map, north up, with as many kilometres across as up."""
    named = {function.sensor.name: function for function in functions}
    lats = [value for _, value in values(named["lat"], key, stretch)]
    lons = [value for _, value in values(named["lon"], key, stretch)]
    south, north, west, east = min(lats), max(lats), min(lons), max(lons)
    scale = min(280 / max(north - south, 1e-4), PANEL / max((east - west) * 0.616, 1e-4))
    points = " ".join(
        f"{x + (lon - west) * 0.616 * scale:.1f},{y + (north - lat) * scale:.1f}"
        for lat, lon in zip(lats, lons, strict=True)
    )
    return (
        f'<text x="{x}" y="{y - 6}">way, {south:.3f} to {north:.3f}° N, {west:.3f} to {east:.3f}° E</text>'
        f'<polyline class="line" points="{points}"/>'
    )


if __name__ == "__main__":
    main()
