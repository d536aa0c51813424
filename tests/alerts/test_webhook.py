"""Alerts on their way to a webhook: a real HTTP server that takes, refuses, hangs and fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from iotcache.alerts.webhook import TRIES, WAITING, Webhook
from iotcache.model import Severity
from iotcache.model.alerts import Alert, AlertState, decode_alert
from iotcache.tasks import end
from tests.ingest.conftest import until

ALERT = Alert(
    name="hot", subject="d:t", severity=Severity.ERROR, state=AlertState.RAISED, since_us=5, text="é"
)


class Site:
    """Answers each request with the next status; 0 hangs up, -1 never answers, -2 speaks no HTTP."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split()[0])
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == -1:
            await reader.read()  # until the other side gives up
        elif status == -2:
            writer.write(b"\x00" * 3_000 + b"\n")
        elif status:
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()


async def _without_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 x\r\n\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def posting(site: Site, timeout_s: float = 2.0) -> AsyncIterator[Webhook]:
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}/in?a=b", timeout_s, retry_min_s=0.01)
    task = asyncio.create_task(hook.run())
    try:
        yield hook
    finally:
        await end(task)
        server.close()


async def test_an_alert_is_posted_as_json() -> None:
    site = Site()
    async with posting(site) as hook:
        hook.put(ALERT)
        await until(lambda: hook.posted == 1)
    assert site.heads[0].startswith("POST /in?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert decode_alert(site.bodies[0]) == ALERT


@pytest.mark.parametrize("trouble", [500, 429, 0, -1, -2])
async def test_it_is_tried_again_after(trouble: int) -> None:
    site = Site(trouble, trouble, 204)
    async with posting(site, timeout_s=0.1) as hook:
        hook.put(ALERT)
        await until(lambda: hook.posted == 1)
        assert (len(site.bodies), hook.failed) == (3, 0)


async def test_what_is_refused_is_given_up_at_once_and_the_next_goes_on() -> None:
    site = Site(404, 200)
    async with posting(site) as hook:
        hook.put(ALERT)
        hook.put(ALERT)
        await until(lambda: hook.posted == 1)
        assert (len(site.bodies), hook.failed) == (2, 1)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/", "the webhook at 127.0.0.1 did not take the alert hot: Connection refused"),
        ("http://localhost:9/", "the webhook at localhost did not take the alert hot: Connection refused"),
        ("https://127.0.0.1:{}/", "TLS failed: "),
    ],
)
async def test_why_it_was_not_taken_is_said_in_plain_words(
    url: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = await asyncio.start_server(_without_tls, "127.0.0.1", 0)
    hook = Webhook(url.format(server.sockets[0].getsockname()[1]), retry_min_s=0.001)
    task = asyncio.create_task(hook.run())
    hook.put(ALERT)
    await until(lambda: hook.failed == 1)
    await end(task)
    server.close()
    assert why in caplog.text
    assert "rrno" not in caplog.text


async def test_after_so_many_tries_it_is_given_up() -> None:
    site = Site(*[500] * TRIES)
    async with posting(site) as hook:
        hook.put(ALERT)
        await until(lambda: hook.failed == 1)
        assert len(site.bodies) == TRIES


async def test_the_queue_is_bounded_and_the_oldest_goes() -> None:
    hook = Webhook("http://127.0.0.1:9/")
    for _ in range(WAITING + 5):
        hook.put(ALERT)
    assert hook.failed == 5
