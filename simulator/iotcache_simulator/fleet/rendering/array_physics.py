"""The waves of `iotcache_simulator.fleet.waves` that tie quantities together, for many readings at a time.

Like `iotcache_simulator.fleet.rendering.array_waves`: the digits are those of the plain functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, cast

from iotcache_simulator.fleet.rendering.array_integrals import walk_integral
from iotcache_simulator.fleet.rendering.array_waves import (
    ELEMENTARY,
    GOLDENS,
    ArrayFunction,
    ArrayPeers,
    Floats,
    Keys,
    added,
    phases,
    walk,
)
from iotcache_simulator.fleet.rendering.inertia import InertiaCache
from iotcache_simulator.fleet.rendering.single_threaded_numpy import np
from iotcache_simulator.fleet.waves import derived, weather
from iotcache_simulator.fleet.waves import route as routes
from iotcache_simulator.fleet.waves.base import DAY_S
from iotcache_simulator.fleet.waves.derived import LAG_STEPS


def _follows(wave: derived.Follows, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    leader, gain, offset, lag = peers[wave.sensor], wave.gain, wave.offset, wave.lag_s
    if not lag:
        return lambda keys, t: offset + gain * leader(keys, t)
    return lambda keys, t: offset + gain * leader(keys, t - lag)


def _lag(wave: derived.Lag, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    gain, offset, step = wave.gain, wave.offset, wave.tau_s / LAG_STEPS
    points = InertiaCache(peers[wave.sensor], step)

    def function(keys: Keys, t: Floats) -> Floats:
        x = t / step
        k = x.astype(np.int64)
        before, now = points.around(keys, k)
        return offset + gain * (before + (now - before) * (x - k))

    return function


def _curve(wave: derived.CurveWave, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    source = peers[wave.sensor]
    starts, values, widths, rises = (np.array(column) for column in wave.pieces())
    bounds = starts[1:]

    def function(keys: Keys, t: Floats) -> Floats:
        x = source(keys, t)
        n = bounds.searchsorted(x, "right")
        return cast(Floats, values.take(n) + rises.take(n) * ((x - starts.take(n)) / widths.take(n)))

    return function


def _state(wave: derived.StateValues, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    source = peers[wave.sensor]
    values = np.array([wave.values[state] for state in peers.states(wave.sensor)])
    return lambda keys, t: values.take(source(keys, t).astype(np.int64))


def _bands(wave: derived.Bands, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    source, bounds = peers[wave.sensor], np.array(wave.at)
    return lambda keys, t: bounds.searchsorted(source(keys, t), "right").astype(np.float64)


def _integral(wave: derived.Integral, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    area, since_s, per_s = peers.integral(wave.sensor), wave.since_day * DAY_S, wave.per_s
    return lambda keys, t: (area(keys, t) - area(keys, np.full(len(t), since_s))) / per_s


class _Timetable:
    """The columns of a timetable."""

    def __init__(self, table: routes.Timetable) -> None:
        self.times = np.array(table.times)
        self.columns: list[Floats] = [np.array(column) for column in zip(*table.pieces, strict=True)]
        self.periods, self.traffics = np.array(table.periods_s), np.array(table.traffics)
        self.begins, self.lengths = np.array(table.begins_s), np.array(table.lengths_m)
        self.lasts, self.first_rounds = np.array(table.lasts), np.array(table.first_rounds)


@cache
def _timetable(made: tuple[routes.DriveRoute, ...]) -> _Timetable:
    return _Timetable(routes.timetable(made))


def _route(wave: routes.RouteWave, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    table, count = _timetable(peers.routes), len(peers.routes)
    traffic_salt = np.uint64(routes.TRAFFIC_SALT)
    come = walk_integral(routes.traffic_walk(), traffic_salt, peers)
    pace = walk(routes.traffic_walk(), traffic_salt, peers)
    choice_salt, route_salt = np.uint64(routes.CHOICE_SALT), np.uint64(routes.ROUTE_SALT)
    begin_s, lat, lon, metres, speed, accel, lat_per_m, lon_per_m, heading = table.columns
    gives = wave.gives

    def function(keys: Keys, t: Floats) -> Floats:
        route = (phases(keys ^ choice_salt) * count).astype(np.int64)
        period, traffic = table.periods.take(route), table.traffics.take(route)
        x = (t + traffic * come(keys, t)) / period + phases(keys ^ route_salt)
        rounds = x.astype(np.int64)
        at_s = table.begins.take(route) + (x - rounds) * period
        n = np.minimum(table.times.searchsorted(at_s, "right") - 1, table.lasts.take(route))
        if gives == "heading":
            return cast(Floats, heading.take(n))
        u = at_s - begin_s.take(n)
        if gives == "speed":
            return cast(
                Floats,
                routes.KMH * (speed.take(n) + accel.take(n) * u) * (1.0 + traffic * pace(keys, t)),
            )
        driven = (speed.take(n) + 0.5 * accel.take(n) * u) * u
        if gives == "lat":
            return cast(Floats, lat.take(n) + driven * lat_per_m.take(n))
        if gives == "lon":
            return cast(Floats, lon.take(n) + driven * lon_per_m.take(n))
        whole = (rounds - table.first_rounds.take(route)) * table.lengths.take(route)
        return cast(Floats, (whole + (metres.take(n) + driven)) / 1_000.0)

    return function


def _weather(wave: weather.Weather, salt: np.uint64, peers: ArrayPeers) -> ArrayFunction:
    gain, offset = wave.gain, wave.offset
    outdoor = _OUTDOOR[wave.gives](peers)
    mask = np.uint64(weather.SITE_MASK)
    return lambda keys, t: offset + gain * outdoor((keys & mask) * GOLDENS, t)


def _part(name: str, peers: ArrayPeers) -> ArrayFunction:
    return added(
        [
            ELEMENTARY[type(part)](part, np.uint64(weather.part_salt(name, n)), peers)
            for n, part in enumerate(weather.PARTS[name])
        ]
    )


def _temperature(peers: ArrayPeers) -> ArrayFunction:
    return _part("temperature", peers)


def _humidity(peers: ArrayPeers) -> ArrayFunction:
    moisture, swing = _part("moisture", peers), _part("swing", peers)
    return lambda keys, t: np.minimum(np.maximum(moisture(keys, t) - 2.6 * swing(keys, t), 25.0), 100.0)


def _sun(peers: ArrayPeers) -> ArrayFunction:
    declination, hour, clouds = (_part(name, peers) for name in ("declination", "hour", "clouds"))

    def function(keys: Keys, t: Floats) -> Floats:
        tilt = weather.SIN_TILT * declination(keys, t)
        across = 1.0 - 0.5 * tilt * tilt
        height = weather.SIN_LATITUDE * tilt + weather.COS_LATITUDE * across * hour(keys, t)
        dimmed = np.minimum(np.maximum(clouds(keys, t), 0.12), 1.0)
        return weather.CLEAR_SKY_W * np.maximum(height, 0.0) * dimmed

    return function


_OUTDOOR: Final = {"temperature": _temperature, "humidity": _humidity, "sun": _sun}

PHYSICS: Final[Mapping[type, Callable[..., ArrayFunction]]] = {
    derived.Follows: _follows,
    derived.Lag: _lag,
    derived.CurveWave: _curve,
    derived.StateValues: _state,
    derived.Bands: _bands,
    derived.Integral: _integral,
    routes.RouteWave: _route,
    weather.Weather: _weather,
}
