"""Does the verdict stay green over a healthy back end? ``python -m tests.simulator.healthy_runs --runs 200``.

Every run is another fleet: seed, size, length, payload, load, arrival and faults of the devices are drawn.
What devices do wrong is not the back end's fault, and the verdict must not blame it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from random import Random

from iotcache_simulator.faults.kinds import (
    Drift,
    Dropout,
    Duplicate,
    Fault,
    Late,
    Malformed,
    OutOfOrder,
    Reboot,
    Skew,
    Spike,
    Stuck,
)
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.fleet.load import parse_load
from iotcache_simulator.publish.plan.spec import FleetSpec
from tests.conftest import Server, program
from tests.simulator.backend import verdict

FAULTS: tuple[Fault, ...] = (
    Dropout(chance=0.2), Stuck(share=0.3), Spike(), Drift(), Late(by_s=8.0, chance=0.2),
    Duplicate(chance=0.3), OutOfOrder(chance=0.2), Reboot(at_s=10.0, for_s=5.0, share=0.4),
    Malformed(chance=0.1), Skew(by_s=-2.0),
)  # fmt: skip
PROFILES = ("constant", "ramp", "step", "burst:every=10,for=2,times=3", "spike", "diurnal")


def drawn(seed: int) -> FleetSpec:
    """The fleet of one run."""
    rng = Random(seed)
    duration_s = float(rng.randint(20, 60))
    return FleetSpec(
        seed=seed,
        devices=rng.randint(2, 15),
        duration_s=duration_s,
        rate=rng.choice((0.0, 0.0, 30.0)),
        payload=Format(rng.choice(("json", "cbor", "senml"))),
        scattered=rng.random() < 0.3,
        load=parse_load(rng.choice(PROFILES), duration_s),
        faults=tuple(rng.sample(FAULTS, rng.choice((0, 0, 1, 2)))),
    )


async def run(runs: int, first: int) -> int:
    """How many of so many runs were not green."""
    path = program("memcached")
    if path is None:
        sys.exit("memcached is not installed")
    red = 0
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    server = Server(lambda port: [path, "-p", str(port), "-l", "127.0.0.1", "-U", "0", *user])
    try:
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(first, first + runs):
                spec = drawn(seed)
                report = await verdict(spec, server.address, Path(folder), settle_s=0.1)
                ledger = report.ledger
                if not report.ok or ledger is None or not ledger.expected:
                    red += 1
                    print(f"seed {seed}: {report.failures} {spec}")
    finally:
        server.kill()
    print(f"{runs - red} of {runs} green")
    return red


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    sys.exit(bool(asyncio.run(run(arguments.runs, arguments.first))))
