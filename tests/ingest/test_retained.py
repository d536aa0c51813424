"""A retained reading is no news: restarts of the broker make no rows of it, and keep no dead sensor alive."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from iotcache.alerts.silence_rules import SilenceRules
from iotcache.config.alert_rules import AlertRule
from iotcache.config.schema import AlertRuleSettings
from iotcache.decode.incoming import EARLIEST_US
from iotcache.model import Reading, Series
from iotcache.worker.worker import Ingest
from tests.conftest import Server
from tests.ingest.conftest import until

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto")]
Make = Callable[..., Any]
NOW_US = 1_795_348_800_000_000
TOPIC = "iot/s/dev1/temp"


async def kept(worker: Ingest) -> list[tuple[object, int]]:
    assert worker.cache is not None
    rows = await worker.cache.store.history(Series("dev1", "temp"), 0, 1 << 62)
    return [(row.value, row.ts_us) for row in rows]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_one_retained_message_and_restarts_of_the_broker_make_one_row_of_unknown_age(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, protocol: str
) -> None:  # fmt: skip
    sender = await link(mosquitto.port, "sender")
    await sender.publish(TOPIC, b"21.5", retain=True)
    made = await worker(settings_for(mosquitto.port, [memcached], protocol=protocol))
    await until(lambda: made.counters.stored == 1)
    assert await kept(made) == [(21.5, EARLIEST_US)]
    for times in (1, 2):
        mosquitto.signal(signal.SIGTERM)
        assert mosquitto.process is not None
        await asyncio.to_thread(mosquitto.process.wait, 10)
        mosquitto.start()
        await until(lambda times=times: made.link.connects == times + 1)  # type: ignore[misc]
        if protocol == "3.1.1":
            await until(lambda times=times: made.counters.retained >= times)  # type: ignore[misc]
    assert await kept(made) == [(21.5, EARLIEST_US)]
    await sender.until_connected()
    await sender.publish(TOPIC, b"22.5")
    await until(lambda: made.counters.stored == 2)
    (value, ts_us) = (await kept(made))[-1]
    assert value == 22.5
    assert ts_us > NOW_US
    assert made.counters.conflicts == made.counters.dead_letters == 0


async def test_a_retained_reading_with_a_time_of_its_own_fills_what_was_missed(
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make
) -> None:
    sender = await link(mosquitto.port, "sender")
    own = round(time.time() * 1e3) - 3_600_000
    await sender.publish(TOPIC, b'{"value": 21.5, "ts": %d}' % own, retain=True)
    made = await worker(settings_for(mosquitto.port, [memcached]))
    await until(lambda: made.counters.stored == 1)
    assert await kept(made) == [(21.5, own * 1000)]
    made.link.drop("a test")
    await until(lambda: made.counters.retained >= 1)
    assert len(await kept(made)) == 1


def test_what_broker_and_device_had_kept_is_no_sign_of_life() -> None:
    rule = AlertRule(AlertRuleSettings(name="quiet", kind="silent", for_s=10.0))
    silence = SilenceRules([rule])
    reading = Reading("dev1", "temp", 1.0, NOW_US)
    silence.follow([reading], 0.0)
    for old in ("retained", "historical"):
        silence.follow([Reading("dev1", "temp", 1.0, NOW_US, **{old: True})], 9.0)  # type: ignore[arg-type]
    (verdict,) = silence.due(10.0)
    assert verdict.raised
    silence.follow([Reading("dev1", "temp", 1.0, NOW_US, retained=True)], 11.0)
    assert silence.follow([reading], 12.0)[0].raised is False
