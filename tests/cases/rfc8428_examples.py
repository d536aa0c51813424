"""The examples of RFC 8428 (sections 5.1, 5.2 and 6), each as its pack and its resolved form."""

from __future__ import annotations

from typing import Any

import cbor2

NOW_S = 1_795_348_800
"""When packs without a time are received."""
OW = "urn:dev:ow:10e2073a01080063"
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4,
    "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip
Resolved = list[tuple[str, str, Any, float]]
"""Name, unit, value and time of each record."""

EXAMPLES: dict[str, tuple[list[dict[str, Any]], Resolved]] = {
    "5.1.1 single data point": ([{"n": OW, "u": "Cel", "v": 23.1}], [(OW, "Cel", 23.1, NOW_S)]),
    "5.1.2 multiple data points": (
        [{"bn": f"{OW}:", "n": "voltage", "u": "V", "v": 120.1}, {"n": "current", "u": "A", "v": 1.2}],
        [(f"{OW}:voltage", "V", 120.1, NOW_S), (f"{OW}:current", "A", 1.2, NOW_S)],
    ),
    "5.1.2 with times": (
        [{"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5, "n": "voltage",
          "u": "V", "v": 120.1},
         *({"n": "current", "t": t, "v": v}
           for t, v in ((-5, 1.2), (-4, 1.3), (-3, 1.4), (-2, 1.5), (-1, 1.6))),
         {"n": "current", "v": 1.7}],
        [("urn:dev:ow:10e2073a0108006:voltage", "V", 120.1, 1276020076.001),
         *(("urn:dev:ow:10e2073a0108006:current", "A", v, 1276020076.001 + t)
           for t, v in ((-5, 1.2), (-4, 1.3), (-3, 1.4), (-2, 1.5), (-1, 1.6), (0, 1.7)))],
    ),
    "5.1.3 multiple measurements": (
        [{"bn": OW, "bt": 1.320067464e09, "bu": "%RH", "v": 21.2},
         *({"t": t, "v": v} for t, v in ((10, 21.3), (20, 21.4), (91, 21.5), (92, 21.5)))],
        [(OW, "%RH", v, 1320067464 + t)
         for t, v in ((0, 21.2), (10, 21.3), (20, 21.4), (91, 21.5), (92, 21.5))],
    ),
    "5.1.3 several units": (
        [{"bn": OW, "bt": 1.320067464e09, "bu": "%RH", "v": 20}, {"u": "lon", "v": 24.30621},
         {"u": "lat", "v": 60.07965}, {"t": 60, "v": 20.3}, {"u": "lon", "t": 60, "v": 24.30622},
         {"u": "lat", "t": 60, "v": 60.07965}, {"t": 120, "v": 20.7}, {"u": "lon", "t": 120, "v": 24.30623},
         {"u": "lat", "t": 120, "v": 60.07966}, {"u": "%EL", "t": 150, "v": 98}, {"t": 180, "v": 21.2},
         {"u": "lon", "t": 180, "v": 24.30628}, {"u": "lat", "t": 180, "v": 60.07967}],
        [(OW, unit, value, 1320067464 + t) for t, unit, value in (
            (0, "%RH", 20), (0, "lon", 24.30621), (0, "lat", 60.07965), (60, "%RH", 20.3),
            (60, "lon", 24.30622), (60, "lat", 60.07965), (120, "%RH", 20.7), (120, "lon", 24.30623),
            (120, "lat", 60.07966), (150, "%EL", 98), (180, "%RH", 21.2), (180, "lon", 24.30628),
            (180, "lat", 60.07967))],
    ),
    "5.1.4 resolved data": (
        [{"n": OW, "u": "Cel", "t": 1.276020076e09, "v": 23.5}, {"n": OW, "u": "Cel", "t": 1.276020091e09,
                                                               "v": 23.6}],
        [(OW, "Cel", 23.5, 1276020076), (OW, "Cel", 23.6, 1276020091)],
    ),
    "5.1.5 multiple data types": (
        [{"bn": f"{OW}:", "n": "temp", "u": "Cel", "v": 23.1}, {"n": "label", "vs": "Machine Room"},
         {"n": "open", "vb": False}, {"n": "nfv-reader", "vd": "aGkgCg"}],
        [(f"{OW}:temp", "Cel", 23.1, NOW_S), (f"{OW}:label", "", "Machine Room", NOW_S),
         (f"{OW}:open", "", False, NOW_S)],
    ),
    "5.1.6 collection of resources": (
        [{"bn": "2001:db8::2/", "bt": 1.320078429e09, "n": "temperature", "u": "Cel", "v": 27.2},
         {"n": "humidity", "u": "%RH", "v": 80}],
        [("2001:db8::2/temperature", "Cel", 27.2, 1320078429),
         ("2001:db8::2/humidity", "%RH", 80, 1320078429)],
    ),
    "5.1.7 setting an actuator": (
        [{"bn": f"{OW}:"}, {"n": "temp", "u": "Cel", "v": 23.1}, {"n": "heat", "u": "/", "v": 1},
         {"n": "fan", "u": "/", "v": 0}],
        [(f"{OW}:temp", "Cel", 23.1, NOW_S), (f"{OW}:heat", "/", 1, NOW_S), (f"{OW}:fan", "/", 0, NOW_S)],
    ),
    "5.1.7 two lights": (
        [{"bt": 1.320078429e09, "bu": "/", "n": "2001:db8::3", "v": 1}, {"n": "2001:db8::4", "v": 1}],
        [("2001:db8::3", "/", 1, 1320078429), ("2001:db8::4", "/", 1, 1320078429)],
    ),
    "5.1.7 two lights that fade": (
        [{"bt": 1.320078429e09, "bu": "/", "n": "2001:db8::3", "v": 0.5}, {"n": "2001:db8::4", "v": 0.5},
         {"n": "2001:db8::3", "t": 0.1, "v": 0}, {"n": "2001:db8::4", "t": 0.1, "v": 0}],
        [("2001:db8::3", "/", 0.5, 1320078429), ("2001:db8::4", "/", 0.5, 1320078429),
         ("2001:db8::3", "/", 0, 1320078429.1), ("2001:db8::4", "/", 0, 1320078429.1)],
    ),
    "lights with addresses of the web": (
        [{"bt": 1.320078429e09, "bu": "/", "n": "http://[2001:db8::3]/", "v": 1},
         {"n": "http://[2001:db8::4]/", "v": 1}],
        [("http://[2001:db8::3]/", "/", 1, 1320078429), ("http://[2001:db8::4]/", "/", 1, 1320078429)],
    ),
}  # fmt: skip


def as_cbor(pack: list[dict[str, Any]]) -> bytes:
    """With the integer labels of section 6."""
    return cbor2.dumps([{LABELS.get(label, label): value for label, value in one.items()} for one in pack])
