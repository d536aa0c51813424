"""The worker over PostgreSQL, which goes away half-way and comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.config.schema import StoreSettings
from iotcache.errors import StoreError
from tests.conftest import Server
from tests.ingest.conftest import cached, until
from tests.ingest.test_worker import TOPIC, payload, rows
from tests.store.conftest import PASSWORD, Postgres

pytestmark = [pytest.mark.real("memcached"), pytest.mark.real("mosquitto"), pytest.mark.real("postgres")]
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    import shutil
    import tempfile

    # Not in pytest's own folder: the server runs as another user, to whom that is closed.
    folder = Path(tempfile.mkdtemp(prefix="iotcache-postgres-"))
    try:
        made = Postgres(folder)
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_postgresql_stopped_and_started_half_way(  # noqa: PLR0917
    mosquitto: Server, memcached: Server, settings_for: Make, worker: Make, link: Make, server: Postgres
) -> None:  # fmt: skip
    total = 3_000
    store = StoreSettings(url=server.empty_database(), password=PASSWORD)
    settings = replace(settings_for(mosquitto.port, [memcached]), store=store)
    made = await worker(settings)
    sender = await link(mosquitto.port, "sender")

    async def publish(first: int, last: int) -> None:
        for start in range(first, last, 100):
            await asyncio.gather(
                *(sender.publish(TOPIC, payload(n, seq=n)) for n in range(start, start + 100))
            )

    await publish(0, 1_000)
    await until(lambda: made.counters.stored > 100)
    await asyncio.to_thread(server.stop)
    await publish(1_000, 2_000)
    await until(lambda: made.waiting_for.startswith("store: "))
    assert PASSWORD not in made.waiting_for
    stored = made.counters.stored
    await asyncio.to_thread(server.start)
    await publish(2_000, total)
    await until(lambda: made.counters.stored + made.counters.duplicates >= total, 30)
    await until(lambda: made.link.unacked == 0 and made.waiting_for == "")
    assert made.counters.stored > stored
    with suppress(StoreError):
        await rows(
            made
        )  # the connection for reading had nothing to do meanwhile, and learns of the restart now
    assert Counter(row.seq for row in await rows(made)) == Counter(range(total))
    assert cached(memcached, "dev-1:temperature:latest")["value"] == total - 1
