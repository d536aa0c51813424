"""The weather of a site, shared by all devices that stand there.

The lower bits of a device's key stand for its site, so that a wave of the key's site alone is the same for
all of them, whatever their class.
"""

from __future__ import annotations

from typing import Final, Literal

from iotcache_simulator.fleet.waves.base import Function, Peers, WaveBase
from iotcache_simulator.fleet.waves.noise import GOLDEN, MASK64, stream_key
from iotcache_simulator.fleet.waves.waves import Constant, Diurnal, Seasonal, Walk

SITE_MASK: Final = 0xFFFF
"""The bits of a device's key that stand for its site."""

_DAY_AND_NIGHT = Diurnal(3.8, peak_hour=14.5)
_FRONTS = Walk(2.6, step_s=130_000.0, octaves=3)
PARTS: Final = {
    "temperature": (Constant(10.8, spread=0.8), Seasonal(7.6, peak_day=205.0), _DAY_AND_NIGHT, _FRONTS),
    "clouds": (Constant(0.62), Walk(0.2, step_s=43_000.0, octaves=4)),
    "moisture": (Constant(77.0), Seasonal(-6.0, peak_day=170.0), Walk(5.0, step_s=90_000.0)),
    "swing": (_DAY_AND_NIGHT, _FRONTS),
    "declination": (Seasonal(1.0, peak_day=172.0),),
    "hour": (Diurnal(1.0, peak_hour=12.0),),
}
"""What the weather is made of, for a temperate climate at sea level (monthly means of 3 to 18 °C)."""
SIN_LATITUDE: Final = 0.788
COS_LATITUDE: Final = 0.616
"""52° north."""
SIN_TILT: Final = 0.398
"""Sine of the obliquity of the ecliptic, 23.44°."""
CLEAR_SKY_W: Final = 1_050.0
"""Irradiance of a surface under the sun in the zenith, W/m²."""


def site_key(key: int) -> int:
    """A key that all devices of a site have in common."""
    return (key & SITE_MASK) * GOLDEN & MASK64


def with_site(key: int, seed: int, site: str) -> int:
    """A device's key, with its site in it."""
    return key & ~SITE_MASK & MASK64 | stream_key(seed, "site", site) & SITE_MASK


def part_salt(part: str, number: int) -> int:
    """Fronts move temperature and humidity alike, so that they have one salt."""
    if PARTS[part][number] is _FRONTS:
        return stream_key(0, "weather", "fronts")
    return stream_key(0, "weather", part, str(number))


class Weather(WaveBase, frozen=True, tag="weather"):
    """``gain`` times the outdoor temperature (°C), humidity (%) or sun (W/m²), plus ``offset``."""

    gives: Literal["temperature", "humidity", "sun"] = "temperature"
    gain: float = 1.0
    offset: float = 0.0

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        gain, offset = self.gain, self.offset
        outdoor = {"temperature": _temperature, "humidity": _humidity, "sun": _sun}[self.gives](peers)
        return lambda key, t: offset + gain * outdoor(site_key(key), t)


def _part(name: str, peers: Peers[Function]) -> Function:
    parts = [wave.compile(part_salt(name, n), peers) for n, wave in enumerate(PARTS[name])]

    def function(key: int, t: float) -> float:
        total = parts[0](key, t)
        for part in parts[1:]:
            total += part(key, t)
        return total

    return function


def _temperature(peers: Peers[Function]) -> Function:
    return _part("temperature", peers)


def _humidity(peers: Peers[Function]) -> Function:
    """Warm air of the same moisture is relatively drier."""
    moisture, swing = _part("moisture", peers), _part("swing", peers)
    return lambda key, t: min(max(moisture(key, t) - 2.6 * swing(key, t), 25.0), 100.0)


def _sun(peers: Peers[Function]) -> Function:
    """The sine of the sun's height, dimmed by clouds."""
    declination, hour, clouds = (_part(name, peers) for name in ("declination", "hour", "clouds"))

    def function(key: int, t: float) -> float:
        tilt = SIN_TILT * declination(key, t)
        across = 1.0 - 0.5 * tilt * tilt  # the cosine of so small an angle, to 0.4 %
        height = SIN_LATITUDE * tilt + COS_LATITUDE * across * hour(key, t)
        return CLEAR_SKY_W * max(height, 0.0) * min(max(clouds(key, t), 0.12), 1.0)

    return function
