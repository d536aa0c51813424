"""A route: one drive gives position, speed, heading and odometer, so that each agrees with the others.

A route is a closed line of points with a speed for each leg and stops. Its timetable is laid out once, of
pieces of even acceleration; each device drives it round and round from a moment of its own. Traffic makes the
drive's time run a little faster and slower: by a balanced walk, whose integral says how far it has come.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from math import atan2, degrees, sqrt
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from iotcache_simulator.fleet.waves.base import DAY_S, Function, Peers, Positive, WaveBase
from iotcache_simulator.fleet.waves.noise import phase, sine, stream_key
from iotcache_simulator.fleet.waves.waves import Walk

METRES_PER_DEGREE: Final = 111_195.0
"""Of a great circle, for the earth's mean radius of 6,371 km."""
ROUTE_SALT: Final = stream_key(0, "route")
"""One for all waves of a class, so that they tell of one drive."""
CHOICE_SALT: Final = stream_key(0, "route", "choice")
TRAFFIC_SALT: Final = stream_key(0, "route", "traffic")
TRAFFIC_STEP_S: Final = 240.0
SINCE_S: Final = 19_700 * DAY_S
"""From when on the odometer counts."""
KMH: Final = 3.6
"""km/h in a m/s."""


class RoutePoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A point of a route, and how it goes on from there to the next, from the last to the first."""

    at: tuple[Annotated[float, Meta(ge=-85, le=85)], Annotated[float, Meta(ge=-180, le=180)]]
    """Latitude and longitude, degrees."""
    kmh: Annotated[float, Meta(ge=1, le=1_000)]
    """Cruising speed of the leg that begins here."""
    stop_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """How long the device stands here."""


class DriveRoute(Struct, frozen=True, forbid_unknown_fields=True):
    """A closed line that devices follow."""

    point: Annotated[tuple[RoutePoint, ...], Meta(min_length=2)]
    accel: Positive = 0.5
    """Acceleration and deceleration, m/s²."""
    traffic: Annotated[float, Meta(ge=0, le=0.15)] = 0.02
    """Standard deviation by which speeds differ from the timetable's, as a part of them."""


class Piece(NamedTuple):
    """A stretch of even acceleration on one leg."""

    begin_s: float
    lat: float
    lon: float
    metres: float
    """How far along the route it begins."""
    speed: float
    """m/s at its beginning."""
    accel: float
    lat_per_m: float
    lon_per_m: float
    heading: float


class Timetable:
    """The pieces of all routes of a class, one route after the other on one axis of time."""

    def __init__(self, routes: Sequence[DriveRoute]) -> None:
        self.pieces: list[Piece] = []
        self.begins_s: list[float] = []
        """By route: where it begins on that axis; its length in seconds and in metres; its last piece."""
        self.periods_s: list[float] = []
        self.lengths_m: list[float] = []
        self.lasts: list[int] = []
        self.traffics = [route.traffic for route in routes]
        at_s = 0.0
        for route in routes:
            self.begins_s.append(at_s)
            self.lengths_m.append(self._lay_out(route, at_s))
            at_s = self._end_s
            self.periods_s.append(at_s - self.begins_s[-1])
            self.lasts.append(len(self.pieces) - 1)
        self.times = [piece.begin_s for piece in self.pieces]
        self.first_rounds = [int(SINCE_S / period) for period in self.periods_s]

    def _lay_out(self, route: DriveRoute, at_s: float) -> float:
        """Append a route's pieces; how many metres long it is."""
        points = route.point
        legs = [_Leg(a, b) for a, b in pairwise((*points, points[0]))]
        speeds = _corner_speeds(route, legs)
        metres, accel = 0.0, route.accel
        for n, (point, leg) in enumerate(zip(points, legs, strict=True)):
            arriving, leaving = speeds[n], speeds[(n + 1) % len(speeds)]
            if point.stop_s:
                self._append(leg, at_s, metres, (0.0, 0.0, 0.0))
                at_s += point.stop_s
            top = min(leg.speed, sqrt(accel * leg.metres + (arriving * arriving + leaving * leaving) / 2.0))
            faster = max(top - arriving, 0.0) / accel
            slower = max(top - leaving, 0.0) / accel
            gained = (arriving + top) * 0.5 * faster
            shed = (top + leaving) * 0.5 * slower
            even = max(leg.metres - gained - shed, 0.0) / top
            for done, speed, change, lasts_s in (
                (0.0, arriving, accel, faster),
                (gained, top, 0.0, even),
                (leg.metres - shed, top, -accel, slower),
            ):
                if lasts_s > 1e-9:
                    self._append(leg, at_s, metres, (done, speed, change))
                    at_s += lasts_s
            metres += leg.metres
        self._end_s = at_s
        return metres

    def _append(self, leg: _Leg, at_s: float, metres: float, motion: tuple[float, float, float]) -> None:
        """``motion``: how far along the leg, m; speed, m/s; acceleration, m/s²."""
        lat, lon = leg.start
        done, speed, accel = motion
        self.pieces.append(
            Piece(
                at_s, lat + done * leg.lat_per_m, lon + done * leg.lon_per_m, metres + done,
                speed, accel, leg.lat_per_m, leg.lon_per_m, leg.heading,
            )
        )  # fmt: skip


class _Leg:
    def __init__(self, start: RoutePoint, end: RoutePoint) -> None:
        (lat, lon), (to_lat, to_lon) = start.at, end.at
        north = (to_lat - lat) * METRES_PER_DEGREE
        east = (to_lon - lon) * METRES_PER_DEGREE * sine((lat + to_lat) / 720.0 + 1.25)
        self.start = start.at
        self.speed = start.kmh / KMH
        self.metres = sqrt(north * north + east * east)
        self.lat_per_m = (to_lat - lat) / self.metres
        self.lon_per_m = (to_lon - lon) / self.metres
        # Rounded, so that a platform's own last digit of atan2 does not show.
        self.heading = round(degrees(atan2(east, north)) % 360.0, 1) % 360.0


def _corner_speeds(route: DriveRoute, legs: Sequence[_Leg]) -> list[float]:
    """How fast a device passes each point: as the slower leg allows, so that it can brake and speed up."""
    count = len(legs)
    speeds = [
        0.0 if point.stop_s else min(legs[n - 1].speed, legs[n].speed) for n, point in enumerate(route.point)
    ]
    for _ in range(2):
        for n in range(count):
            reach = 2.0 * route.accel * legs[n].metres
            after = (n + 1) % count
            speeds[after] = min(speeds[after], sqrt(speeds[n] * speeds[n] + reach))
        for n in reversed(range(count)):
            reach = 2.0 * route.accel * legs[n].metres
            after = (n + 1) % count
            speeds[n] = min(speeds[n], sqrt(speeds[after] * speeds[after] + reach))
    return speeds


@cache
def timetable(routes: tuple[DriveRoute, ...]) -> Timetable:
    """The timetable of a class's routes, laid out once for all its waves."""
    return Timetable(routes)


def traffic_walk() -> Walk:
    """How the pace of a drive goes up and down: variance 1."""
    return Walk(1.0, step_s=TRAFFIC_STEP_S, octaves=1, balanced=True)


class RouteWave(WaveBase, frozen=True, tag="route"):
    """One of a drive's quantities: ``lat``, ``lon``, ``heading`` (°), ``speed`` (km/h), ``odometer`` (km)."""

    gives: Literal["lat", "lon", "speed", "heading", "odometer"]

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        table = timetable(peers.routes)
        count = len(table.periods_s)
        come = traffic_walk().integral(TRAFFIC_SALT, peers)
        pace = traffic_walk().compile(TRAFFIC_SALT, peers)
        gives, pieces, times = self.gives, table.pieces, table.times

        def function(key: int, t: float) -> float:
            route = int(phase(key ^ CHOICE_SALT) * count)
            period, traffic = table.periods_s[route], table.traffics[route]
            x = (t + traffic * come(key, t)) / period + phase(key ^ ROUTE_SALT)
            rounds = int(x)
            at_s = table.begins_s[route] + (x - rounds) * period
            piece = pieces[min(bisect_right(times, at_s) - 1, table.lasts[route])]
            if gives == "heading":
                return piece.heading
            u = at_s - piece.begin_s
            if gives == "speed":
                return KMH * (piece.speed + piece.accel * u) * (1.0 + traffic * pace(key, t))
            metres = (piece.speed + 0.5 * piece.accel * u) * u
            if gives == "lat":
                return piece.lat + metres * piece.lat_per_m
            if gives == "lon":
                return piece.lon + metres * piece.lon_per_m
            whole = (rounds - table.first_rounds[route]) * table.lengths_m[route]
            return (whole + (piece.metres + metres)) / 1_000.0

        return function
