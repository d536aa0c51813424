"""All waves that a class file may name by their ``kind``."""

from __future__ import annotations

from iotcache_simulator.fleet.waves.derived import Bands, CurveWave, Follows, Integral, Lag, StateValues
from iotcache_simulator.fleet.waves.route import RouteWave
from iotcache_simulator.fleet.waves.waves import (
    Boolean,
    Constant,
    Counter,
    Diurnal,
    Duty,
    Enum,
    OrnsteinUhlenbeck,
    Sawtooth,
    Seasonal,
    StepWave,
    TrackWave,
    Walk,
)
from iotcache_simulator.fleet.waves.weather import Weather

Wave = (
    Constant | Diurnal | Seasonal | Walk | OrnsteinUhlenbeck | Duty | Sawtooth | StepWave | Counter | Boolean
    | Enum | TrackWave | Follows | Lag | CurveWave | StateValues | Bands | Integral | RouteWave | Weather
)  # fmt: skip
WAVE_KINDS = tuple(str(wave.__struct_config__.tag) for wave in Wave.__args__)
