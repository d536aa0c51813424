"""``iotcache-tui warm`` and ``iotcache-tui device``, as a script sees them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from iotcache.cache import DeviceCache
from iotcache.model import Reading, Series, StoredReading
from iotcache_tui.cli.main import main
from tests.cache.conftest import Open
from tests.conforming import conforming
from tests.conftest import Server
from tests.ingest.conftest import cached

pytestmark = pytest.mark.real("memcached")
TS_US = 1_795_348_800_000_000


@pytest.fixture
def call(
    memcached: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """``await call(*words)``: exit status, standard output and standard error of the program."""
    import asyncio

    monkeypatch.chdir(tmp_path)
    servers = ["--nodes", memcached.address, "--store", f"sqlite:///{tmp_path}/readings.db"]
    servers += ["--broker", "mqtt://127.0.0.1:1"]

    async def run(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = await asyncio.to_thread(main, [words[0], *servers, *words[1:]])
        out, err = capsys.readouterr()
        return status, out, err

    return run


async def fleet(cache: DeviceCache) -> None:
    await cache.store.commit(
        [
            StoredReading(Reading(f"d{n}", "t", n, TS_US, site="north" if n % 2 else "south", interval_s=600))
            for n in range(20)
        ]
    )


async def test_warm_fills_the_cache_and_says_how_much(call: Any, memcached: Server, open_cache: Open) -> None:
    cache = await open_cache([memcached])
    status, _, err = await call("warm")
    assert (status, err) == (3, "the store knows nothing to fill the cache with\n")
    await fleet(cache)
    assert await call("warm", "--site", "north") == (0, "10 entries filled, 0 were there already\n", "")
    assert cached(memcached, "d1:t:latest")["value"] == 1
    assert cached(memcached, "d2:t:latest") is None
    status, out, _ = await call("warm", "--json")
    assert (status, conforming("warm", out)) == (
        0,
        {"entries": 20, "filled": 10, "present": 10, "unknown": 0, "failed": 0, "reason": ""},
    )
    status, _, err = await call("warm", "--site", "no\x1bwhere")
    assert status == 3
    assert "no\\x1bwhere" in err


async def test_warm_fails_when_a_node_does_not_take_it(
    call: Any, memcached: Server, open_cache: Open
) -> None:
    await fleet(await open_cache([memcached]))
    memcached.kill()
    status, out, err = await call("warm")
    assert status == 1
    assert out.startswith("0 entries filled")
    assert "20 entries could not be filled: a cache node did not take it" in err


async def test_a_device_is_configured_shown_retired_and_back(
    call: Any, memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await fleet(cache)
    assert (await call("device", "show", "d1"))[0] == 3
    status, out, _ = await call("device", "push", "d1", stdin=b'{"every_s": 5}')
    assert (status, out) == (0, "d1 has configuration 1 now\n")
    assert cached(memcached, "d1:cfg")["content"] == {"every_s": 5, "version": 1}
    status, _, err = await call("device", "push", "d1", "--version", "1", stdin=b'{"every_s": 6}')
    assert (status, err) == (1, "nothing changed: d1 has configuration 1, and this is 1\n")
    status, out, _ = await call("device", "show", "d1", "--json")
    shown = conforming("device-show", out)
    assert (shown["meta"], shown["cfg"]["version"], shown["cfg"]["source"]) == (None, 1, "cache")
    status, out, _ = await call("device", "retire", "d1", "d2")
    assert (status, out) == (0, "2 out of service; 6 cache entries removed or to be removed\n")
    assert (await call("device", "retired"))[1] == "d1\nd2\n"
    status, _, err = await call("device", "push", "d1", stdin=b"{}")
    assert (status, err) == (1, "nothing changed: d1 is out of service\n")
    status, out, _ = await call("device", "return", "d1", "--json")
    assert (status, conforming("device-service", out)["action"]) == (0, "return")
    assert "every_s" in (await call("device", "show", "d1"))[1]
    assert (await cache.read_many([Series("d2", "t")]))[0].value == 2
    status, out, _ = await call("device", "push", "d1", "--json", stdin=b"{}")
    assert (status, conforming("device-push", out)["standing"]) == (0, 2)


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (("device", "show"), b"", "one device"),
        (("device", "show", "a", "b"), b"", "one device"),
        (("device", "retired", "a"), b"", "no device"),
        (("device", "retire"), b"", "devices"),
        (("device", "push", ""), b"{}", "one device"),
        (("device", "dance", "a"), b"", "invalid choice"),
        (("device", "push", "a"), b"[1]", "no JSON object"),
        (("device", "push", "a"), b"{", "no JSON"),
        (("device", "push", "a"), b'{"version": "x"}', "whole number"),
        (("device", "push", "a", "--file", "/no/such"), b"", "cannot be read"),
        (("warm", "--per-s", "nan"), b"", "--per-s"),
    ],
)
async def test_a_usage_mistake_is_one_sentence(
    call: Any, words: tuple[str, ...], stdin: bytes, why: str
) -> None:
    status, out, err = await call(*words, stdin=stdin)
    assert (status, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1


async def test_a_broker_that_is_away_is_an_error_before_anything_is_stored(
    call: Any, memcached: Server, open_cache: Open
) -> None:
    cache = await open_cache([memcached])
    await fleet(cache)
    import iotcache_tui.cli.commands.device

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iotcache_tui.cli.commands.device, "BROKER_PATIENCE_S", 0.3)
        status, _, err = await call("device", "push", "d1", "--publish", stdin=b"{}")
    assert status == 1
    assert "does not answer" in err
    assert await cache.store.documents.names() == []
