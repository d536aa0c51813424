"""Sizes of items as a real memcached has them."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from iotcache.advisor.item_size import DEFAULT_CHUNKS, Chunks, item_bytes
from tests.conftest import Server


def ask(server: Server, request: bytes, end: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 10) as line:
        line.sendall(request)
        answer = b""
        while not answer.endswith(end):
            answer += line.recv(65_536)
    return answer


@pytest.mark.real("memcached")
def test_chunks_and_item_sizes_are_those_of_a_real_node(memcached_factory: Callable[..., Server]) -> None:
    for factor, extra in ((1.25, ()), (1.08, ("-f", "1.08"))):
        node = memcached_factory(*extra)
        chunks = Chunks.of_settings(factor)
        for size in (1, 20, 33, 100, 300, 1_000, 5_000, 40_000):
            ask(node, b"set key%05d 0 0 %d\r\n%b\r\n" % (size, size, b"x" * size), b"STORED\r\n")
            told = ask(node, b"me key%05d\r\n" % size, b"\r\n")
            assert int(told.split(b"size=")[1]) == item_bytes(8, size)
        real = {
            int(line.split()[-1])
            for line in ask(node, b"stats slabs\r\n", b"END\r\n").splitlines()
            if b":chunk_size" in line
        }
        assert real <= set(chunks.sizes)
        assert {chunks.chunk(item_bytes(8, size)) for size in (1, 20, 33, 100, 300, 1_000)} <= real


def test_an_item_larger_than_a_chunk_takes_several() -> None:
    assert DEFAULT_CHUNKS.chunk(600_000) > 600_000
    assert DEFAULT_CHUNKS.chunk(96) == 96
    assert DEFAULT_CHUNKS.chunk(97) == 120
    assert DEFAULT_CHUNKS.below(120) == 96
