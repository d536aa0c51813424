"""``python -m iotcache_tui.bench.load_generator PORT MESSAGES READINGS DEVICES FIRST``:
publish as fast as the broker takes it.

A process of its own, so that offering the load costs the contestants no time of their interpreter.
"""

from __future__ import annotations

import asyncio
import sys
import time

from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.uplink import Uplink

DEVICES = 200


def payload(number: int, readings: int, start_us: int, devices: int) -> tuple[bytes, bytes]:
    """Topic and payload of one message: one reading, or an array of them."""
    device = b"dev-%04d" % (number % devices)
    parts = [
        b'{"device":"%b","sensor":"temperature","value":%d.5,"unit":"C","ts":%d,"seq":%d,"boot":"b1"}'
        % (device, at % 50, start_us + at * 1_000, at)
        for at in range(number * readings, (number + 1) * readings)
    ]
    body = parts[0] if readings == 1 else b"[" + b",".join(parts) + b"]"
    return b"iot/bench/%b/temperature" % device, body


async def offer(port: int, messages: int, readings: int, devices: int, first: int) -> None:
    """Publish ``messages`` with QoS 1, numbered from ``first``: no reading is another call's again."""
    last = first + messages
    # A minute of readings, up to now: a time ahead of the clock would be refused.
    start_us = time.time_ns() // 1_000 - last * readings * 1_000
    async with Uplink(BrokerTarget("127.0.0.1", port), f"bench-{start_us}", qos=1) as uplink:
        at = first
        while at < last:
            room = uplink.room()
            if room <= 0:
                uplink.flush()
                await uplink.until_room()
                continue
            for number in range(at, min(last, at + min(room, 64))):
                uplink.send(*payload(number, readings, start_us, devices))
                at += 1
            uplink.flush()
            await asyncio.sleep(0)
        await uplink.until_confirmed()


if __name__ == "__main__":
    asyncio.run(offer(*(int(number) for number in sys.argv[1:6])))
