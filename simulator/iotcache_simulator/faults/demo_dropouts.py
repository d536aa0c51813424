"""What the demonstration's fleet leaves out early on, so that nobody waits for the first miss.

Trucks lose their connection by themselves, but at times that the clock decides: a fleet may run for a minute
or two before the first of them does, and until then every read is a hit. Three devices that report often fall
silent in turn meanwhile. Their entries expire, reads go to the store, and the next reading ends it.
"""

from __future__ import annotations

from iotcache_simulator.faults.kinds import Dropout
from iotcache_simulator.fleet.roster import Roster

FOR_S = 15.0
"""Several lives of an entry of a sensor that reports every second."""
_BEGIN_S = (10.0, 45.0, 80.0)
"""The first when a series' own interval is known and its entries live no longer than they should."""
_FLEET_MIN = 20
"""In a smaller fleet a silent device would be too large a part of it."""
_PASSED_OVER = 2
"""The first devices of a class, which examples name, keep reporting."""


def dropouts(roster: Roster) -> tuple[Dropout, ...]:
    """Each is over by itself. None for a small fleet; fewer where too few devices report often."""
    if len(roster) < _FLEET_MIN:
        return ()
    often = [min(sensor.interval_s for sensor in kind.sensor) for kind in roster.classes]
    present = set(roster.kinds)
    kind = min(present, key=lambda one: often[one])
    names = [name for name, of in zip(roster.names, roster.kinds, strict=True) if of == kind][_PASSED_OVER:]
    return tuple(
        Dropout(at_s=at_s, for_s=FOR_S, devices=(name,)) for at_s, name in zip(_BEGIN_S, names, strict=False)
    )
