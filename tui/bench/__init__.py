"""The benchmarks: ourselves against our peers, in the same run, as ratios.

Peers come with the extra ``iotcache-tui[bench]``; one that is missing is named and left out.
"""

from __future__ import annotations

from typing import Final

BENCHES: Final = (
    ("cluster", "reads and writes of many keys over three cache nodes", "tui.bench.cluster"),
    ("ingest", "messages from a broker to store and cache, acknowledged", "tui.bench.ingest"),
    ("simulate", "readings computed, encoded and published to a broker", "tui.bench.simulate"),
    ("frame", "the dashboard's own processor time, and its answers to keys", "tui.bench.frame"),
    ("start", "how soon the dashboard stands, and memory of a series and a device", "tui.bench.start"),
)
"""Name, one line, and the module whose ``async def run(rounds: int) -> Report`` measures it."""
