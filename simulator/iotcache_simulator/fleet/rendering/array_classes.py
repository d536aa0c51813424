"""A class's sensors, compiled for arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.rendering.array_integrals import INTEGRALS
from iotcache_simulator.fleet.rendering.array_physics import PHYSICS
from iotcache_simulator.fleet.rendering.array_waves import ELEMENTARY, ArrayFunction, ArrayPeers, added
from iotcache_simulator.fleet.rendering.single_threaded_numpy import np
from iotcache_simulator.fleet.waves.base import Peers
from iotcache_simulator.fleet.waves.kinds import Wave
from iotcache_simulator.fleet.waves.route import DriveRoute

_MAKERS = {**ELEMENTARY, **PHYSICS}


def array_functions(kind: DeviceClass) -> tuple[ArrayFunction, ...]:
    """The sensors of a class, as `iotcache_simulator.fleet.roster` compiles them, for arrays."""
    peers = array_peers(kind.waves, kind.route)
    return tuple(peers[sensor.name] for sensor in kind.sensor)


def array_peers(quantities: Mapping[str, Sequence[Wave]], routes: tuple[DriveRoute, ...] = ()) -> ArrayPeers:
    """The quantities of a class, for arrays."""
    return Peers(
        quantities,
        lambda wave, salt, peers: _MAKERS[type(wave)](wave, np.uint64(salt), peers),
        lambda wave, salt, peers: INTEGRALS[type(wave)](wave, np.uint64(salt), peers),
        added,
        routes,
    )
