"""Real nodes of any size for the proofs."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import await_port, free_port, program


@contextmanager
def memcached(megabytes: int) -> Iterator[socket.socket]:
    """A connection to a real node of that size."""
    path = program("memcached")
    assert path is not None
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [path, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(megabytes), *user]
    )
    try:
        await_port(port, process)
        with socket.create_connection(("127.0.0.1", port)) as line:
            yield line
    finally:
        process.kill()
        process.wait()
