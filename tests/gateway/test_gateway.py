"""The HTTP gateway over a real worker: what comes in is committed, and nobody uninvited gets in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymemcache import Client

from iotcache.config.schema import (
    HttpSettings,
)
from iotcache.errors import ConfigError, StackError
from iotcache.worker.gateway import Gateway
from tests.conftest import Server
from tests.gateway.door import READING, Open

pytestmark = pytest.mark.real("memcached")
TOKEN = "s3cret-token"


async def test_what_was_posted_is_committed_and_read_back_from_the_cache(door: Open) -> None:
    http = await door()
    answer = await http.post(READING)
    assert (answer.status, answer.json) == (200, {"committed": 1})
    assert http.worker.counters.stored == 1
    read = await http.ask("GET", "/v1/devices/dev-1/temp")
    assert read.status == 200
    latency_ms, ttl_s = read.json.pop("latency_ms"), read.json["ttl_s"]
    assert latency_ms > 0
    assert 100 < ttl_s < 250
    assert {name: value for name, value in read.json.items() if name not in ("latency_ms", "ttl_s")} == {
        "device": "dev-1", "sensor": "temp", "value": 21.5, "unit": "C", "ts": "2026-11-22T12:00:00Z",
        "source": "cache", "node": read.json["node"], "miss_reason": None,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Inputs/Temp", "a b%2F", "é\r\nset x 0 0 1", "?#+", "\x1b[2J"])
async def test_any_name_is_read_back_by_its_encoded_path(door: Open, name: str) -> None:
    http = await door()
    assert (await http.post(READING | {"device": name, "sensor": name})).status == 200
    path = quote(name, safe="")
    read = await http.ask("GET", f"/v1/devices/{path}/{path}")
    assert (read.status, read.json["device"], read.json["source"]) == (200, name, "cache")


async def test_an_array_is_taken_whole_or_not_at_all(door: Open) -> None:
    http = await door()
    many = [READING | {"seq": n, "boot": "b", "value": n} for n in range(500)]
    assert (await http.post(many)).json == {"committed": 500}
    refused = await http.post([READING | {"seq": 900}, READING | {"value": None}])
    assert refused.status == 400
    assert '"value" of reading no. 2' in refused.json["error"]
    assert http.worker.counters.stored == 500


async def test_posts_at_the_same_time_share_commits(door: Open) -> None:
    http = await door()
    answers = await asyncio.gather(*(http.post(READING | {"seq": n, "boot": "b"}) for n in range(40)))
    assert {answer.status for answer in answers} == {200}
    assert http.worker.counters.stored == 40
    assert http.worker.counters.batches < 40


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b"{", "not JSON"),
        (b'"x"', "object"),
        (b'{"value": 1}', "names a device"),
        (b'{"device": "d", "sensor": "s", "value": NaN}', "NaN"),
        (b'{"device": "d", "sensor": "s", "value": "\xff"}', "UTF-8"),
        (b'{"device": "d", "sensor": "s", "value": 1, "x": ' + b"[" * 50_000, "nested"),
        (b'{"device": "d", "sensor": "s", "value": 1, "ts": 5}', "never set"),
    ],
    ids=range(8),
)
async def test_a_body_that_is_no_reading_is_explained(door: Open, body: bytes, says: str) -> None:
    answer = await (await door()).post(body, Content_Length=str(len(body)))
    assert answer.status == 400
    assert says in answer.json["error"]


async def test_a_body_over_the_limit_is_refused_unread(door: Open) -> None:
    http = await door()
    declared = await http.ask(
        "POST", "/v1/readings", b"", b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Connection: close\r\nContent-Length: 9999999\r\n\r\n",
    )  # fmt: skip
    assert declared.status == 413
    chunks = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(18)) + b"0\r\n\r\n"
    chunked = await http.ask(
        "POST", "/v1/readings", b"", b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
    )  # fmt: skip
    assert chunked.status == 413


async def test_unknown_series_paths_and_methods(door: Open) -> None:
    http = await door()
    unknown = await http.ask("GET", "/v1/devices/nobody/%1b%5b2J")
    assert unknown.status == 404
    assert unknown.json["error"] == "nothing is known of sensor \\x1b[2J of device nobody"
    assert (await http.ask("GET", "/v2/")).status == 404
    wrong = await http.ask("DELETE", "/v1/readings")
    assert (wrong.status, wrong.json) == (405, {"error": "Method Not Allowed"})


async def test_while_the_store_is_away_a_post_is_refused_and_health_says_why(
    door: Open, tmp_path: Path
) -> None:
    import sqlite3

    http = await door()
    assert (await http.post(READING)).status == 200
    lock = sqlite3.connect(tmp_path / "readings.db", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        first = asyncio.create_task(http.post(READING | {"seq": 1}))
        async with asyncio.timeout(5):
            while "locked" not in http.worker.waiting_for:
                await asyncio.sleep(0.01)
        second = await http.post(READING | {"seq": 2})
        assert second.status == 503
        assert second.headers["retry-after"] == "1"
        assert "locked" in second.json["error"]
        health = await http.ask("GET", "/healthz")
        assert health.status == 503
        assert "locked" in health.json["waiting_for"]
    finally:
        lock.close()
    # The one that had been taken is answered once it is true.
    assert (await first).status == 200
    assert http.worker.counters.stored == 2


async def test_a_token_is_asked_for_where_there_is_one(door: Open) -> None:
    http = await door(token=TOKEN)
    for header in ({}, {"Authorization": "Bearer nope"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = await http.post(READING, **header)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await http.ask("GET", "/metrics")).status == 401
    assert http.worker.counters.stored == 0
    assert (await http.post(READING, Authorization=f"Bearer {TOKEN}")).status == 200
    assert (await http.ask("GET", "/healthz")).status == 503  # no broker here; but it answers


async def test_pages_in_a_browser_cannot_reach_a_gateway_without_a_token(door: Open) -> None:
    http = await door()
    assert (await http.post(READING, Origin="http://evil.example")).status == 403
    assert (await http.post(READING, Host="evil.example:80")).status == 403
    assert http.worker.counters.stored == 0
    assert (await http.post(READING, Host=f"localhost:{http.port}")).status == 200


async def test_metrics_are_in_prometheus_form(door: Open, memcached: Server) -> None:
    http = await door()
    await http.post(READING)
    await http.ask("GET", "/v1/devices/dev-1/temp")
    with contextlib.closing(Client(("127.0.0.1", memcached.port), timeout=2)) as other:
        other.set("x", b"1", noreply=False)
        _, token = other.gets("x")
        assert other.cas("x", b"2", token, noreply=False) is True
        assert other.cas("x", b"3", token, noreply=False) is False
    answer = await http.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    node = (("node", memcached.address),)
    assert values["iotcache_ingest_readings_stored_total", ()] == 1
    assert values["iotcache_cache_hits_total", ()] == 1
    assert values["iotcache_ingest_up", ()] == 0
    assert values["iotcache_hot_keys", ()] == values["iotcache_copies_written_total", ()] == 0
    assert values["memcached_up", node] == 1
    assert values["memcached_current_items", node] == 2
    assert values["memcached_item_too_large_total", node] == 0
    # As memcached_exporter counts: a compare-and-swap is no set.
    for command, status, count in (("set", "hit", 2), ("cas", "hit", 1), ("cas", "badval", 1)):
        labels = (("command", command), ("node", memcached.address), ("status", status))
        assert values["memcached_commands_total", labels] == count


async def test_metrics_while_a_node_is_down(door: Open, memcached: Server) -> None:
    http = await door()
    memcached.kill()
    await http.post(READING)
    text = (await http.ask("GET", "/metrics")).body.decode()
    assert f'memcached_up{{node="{memcached.address}"}} 0.0' in text


async def test_it_describes_itself(door: Open) -> None:
    http = await door()
    document = (await http.ask("GET", "/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": http.url}]
    assert {"/v1/readings", "/v1/devices/{device}/{sensor}", "/metrics", "/healthz"} == set(document["paths"])
    for path, asked in (
        (
            "/v1/readings",
            [("POST", b"{}", {}), ("POST", b"[]", {}), ("POST", b"", {"Content_Length": "2000000"})],
        ),
        ("/v1/devices/{device}/{sensor}", [("GET", b"", {}), ("GET", b"", {"Origin": "http://x"})]),
        ("/healthz", [("GET", b"", {})]),
    ):
        for method, body, headers in asked:
            answer = await http.ask(method, path.replace("{", "").replace("}", ""), body, **headers)
            responses = document["paths"][path][method.lower()]["responses"]
            assert str(answer.status) in responses, (path, answer)
            (media,) = responses[str(answer.status)]["content"].values()
            assert set(answer.json) <= set(media["schema"]["properties"])


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.168.1.5:8080"])
def test_other_machines_only_with_a_token(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.token"):
        Gateway(None, HttpSettings(listen=listen))  # type: ignore[arg-type]


async def test_a_port_that_is_taken_is_named(door: Open) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"127.0.0.1:{port}"):
            await door(listen=f"127.0.0.1:{port}")


async def test_slow_senders_do_not_hold_the_end_up(door: Open) -> None:
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    writer.write(b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.05)
    # The fixture's end must not wait for this body.
    assert not reader.at_eof()


async def test_a_path_with_a_slash_too_many_redirects_nowhere(door: Open) -> None:
    http = await door()
    for path in ("/metrics/", "/v1/readings/", "/healthz/"):
        answer = await http.ask("GET", path, Host=f"localhost:{http.port}")
        assert (answer.status, answer.headers.get("location")) == (404, None)


async def test_a_token_of_any_alphabet_is_compared_byte_by_byte(door: Open) -> None:
    http = await door(token="schlüssel-鍵")
    ours = "Bearer schlüssel-鍵"
    assert (await http.post(READING, Authorization=ours)).status == 200
    assert (await http.post(READING, Authorization="Bearer schlussel-鍵")).status == 401


async def test_nothing_that_a_body_makes_the_decoder_do_is_our_failure(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = await door()
    pack = b'[{"n":"d:a","bv":' + b"9" * 400 + b',"v":0.5}]'
    answer = await http.post(pack)
    assert answer.status == 400
    assert answer.json["error"]

    def broken(body: bytes, received_us: int) -> list[object]:
        raise ZeroDivisionError("at the worst place")

    monkeypatch.setattr("iotcache.ingest.message_reader.decode_named", broken)
    answer = await http.post(READING)
    assert answer.status == 400
    assert "ZeroDivisionError" in answer.json["error"]
    assert http.worker.stats().faults > 0


async def test_a_body_with_two_lengths_is_refused(door: Open) -> None:
    http = await door()
    answer = await http.ask(
        "POST", "/v1/readings", b"", b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )  # fmt: skip
    assert answer.status == 400
    assert answer.headers["connection"] == "close"


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotcache.worker.gateway.BODY_WAIT_S", 0.2)
    http = await door()
    answer = await http.ask("POST", "/v1/readings", b"", b"POST /v1/readings HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Length: 100\r\n\r\n{")  # fmt: skip
    assert answer.status == 408
    assert "0.2 s" in answer.json["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 404), ("127.0.0.1:1", 404), ("localhost:8080", 404), ("[::1]:8080", 404),
        ("[::1]", 404), ("127.8.8.8", 404), ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("localhost@evil.example", 403), ("127.0.0.1:80@evil.example", 403), ("0.0.0.0", 403), ("[::]", 403),
        ("2130706433", 403), ("127.1", 403), ("0x7f.0.0.1", 403), ("[::ffff:10.0.0.1]", 403), ("evil", 403),
        ("192.168.1.5:8080", 403), ("[fe80::1%25lo]:80", 403), ("", 403), ("[", 403),
    ],
)  # fmt: skip
async def test_a_name_that_is_not_this_machines_own_gets_nothing(door: Open, host: str, status: int) -> None:
    http = await door()
    found = await http.ask("GET", "/v1/devices/nobody/t", Host=host)
    assert found.status == status
    assert (await http.ask("GET", "/v1/devices/nobody/t", Origin="http://127.0.0.1")).status == 403


async def test_requests_in_one_piece_and_of_http_1_0_are_answered_in_order(door: Open) -> None:
    http = await door()
    reader, writer = await asyncio.open_connection(http.host, http.port)
    one = b"GET /v1/devices/nobody/t HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    writer.write(one * 50 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + one * 50)
    async with asyncio.timeout(20):
        answers = await reader.read()
    writer.close()
    assert answers.count(b"HTTP/1.1 404 ") == 51, "and nothing after the one that ends the connection"
    old = await http.ask("GET", "/healthz", b"", b"GET /healthz HTTP/1.0\r\n\r\n")
    assert old.status == 503
    assert "waiting_for" in old.json
