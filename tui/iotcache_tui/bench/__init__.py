"""The benchmarks: ourselves against our peers, in the same run, as ratios.

Peers come with the extra ``iotcache-tui[bench]``; one that is missing is named and left out.
"""

from __future__ import annotations

from typing import Final

BENCHES: Final = (
    ("cluster", "reads and writes of many keys over three cache nodes", "iotcache_tui.bench.cluster"),
    ("ingest", "messages from a broker to store and cache, acknowledged", "iotcache_tui.bench.ingest"),
    ("simulate", "readings computed, encoded and published to a broker", "iotcache_tui.bench.simulate"),
    ("frame", "the dashboard's own processor time, and its answers to keys", "iotcache_tui.bench.frame"),
    (
        "start",
        "how soon the dashboard stands, and memory of a series and a device",
        "iotcache_tui.bench.start",
    ),
)
"""Name, one line, and the module whose ``async def run(rounds: int) -> Report`` measures it."""
