"""Children from the fork server (:mod:`iotcache_simulator.processes.fork_server`), where there is one.

One server serves this whole process for as long as somebody holds it. It is a program of its own, or a fork
of this one, which has loaded a third of what it needs; a fork only while this process has one thread, as it
would copy no other. Only on Linux: elsewhere a fork of a program that has loaded the system's own libraries
may hang.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, Final

from iotcache_simulator.processes.child_environment import MESSAGE_BYTES, child_environment

_SERVER: Final = "iotcache_simulator.processes.fork_server"
_lock = threading.Lock()
_holders = 0
_server: _Server | None = None


class ForkedChild:
    """A child of the fork server, with what is used of :class:`subprocess.Popen`.

    ``pid`` is 0 until the child has said it.
    """

    def __init__(self, stdin: int, stdout: int, status: int) -> None:
        self.pid = 0
        self.stdin: BinaryIO = open(stdin, "wb", buffering=0)  # noqa: SIM115
        self.stdout: BinaryIO = open(stdout, "rb", buffering=0)  # noqa: SIM115
        self._status = status
        self._code: int | None = None
        self._lock = threading.Lock()

    def wait(self) -> int:
        """Its exit status, once it has ended; SIGKILL's when the server ended and it therefore did."""
        if self._code is None:
            text = os.read(self._status, 16)
            with self._lock:
                self._code = int(text) if text else -signal.SIGKILL
                os.close(self._status)  # the server reaps it now, and its process id may be another's
        return self._code

    def send_signal(self, number: int) -> None:
        with self._lock:
            if self._code is None and self.pid:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _ForkOfUs:
    """A server that was forked off this very process, with what is used of :class:`subprocess.Popen`."""

    def __init__(self, requests: socket.socket) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # or the server would write it a second time
        our_pid = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            try:
                from iotcache_simulator.processes.fork_server import serve_in_fork

                serve_in_fork(our_pid, requests)
            finally:
                os._exit(1)  # whatever happens: what our frames would go on with is the program's
        self._gone = False
        self._lock = threading.Lock()
        threading.Thread(target=self._reap, daemon=True, name="fork server").start()

    def _reap(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            os.waitpid(self.pid, 0)
            self._gone = True

    def kill(self) -> None:
        with self._lock:
            if not self._gone:
                os.kill(self.pid, signal.SIGKILL)


class _Server:
    """The server's process."""

    def __init__(self, *, fork: bool = False) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(1.0)
        self._process: subprocess.Popen[bytes] | _ForkOfUs | None = None
        if fork and _has_one_thread():
            with theirs:
                self._process = _ForkOfUs(theirs)
        else:
            self._run(theirs)

    def _run(self, theirs: socket.socket) -> None:
        """Start it as a program, by a thread of its own, at whose end Linux sends the death signal."""
        started = threading.Event()

        def run() -> None:
            try:
                with theirs:
                    self._process = process = subprocess.Popen(
                        [sys.executable, "-P", "-m", _SERVER, str(os.getpid()), str(theirs.fileno())],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env=child_environment(),
                        pass_fds=(theirs.fileno(),),
                        start_new_session=True,
                    )
            finally:
                started.set()
            process.wait()

        threading.Thread(target=run, daemon=True, name="fork server").start()
        started.wait()
        if self._process is None:
            raise OSError("it cannot be started")

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def send(self, request: Mapping[str, object], pipes: Sequence[int] = ()) -> None:
        """Raises `ConnectionError` when it is gone, `OSError` when it takes no such request."""
        message = json.dumps(request).encode()
        if len(message) > MESSAGE_BYTES:
            raise OSError("the request is too large")
        socket.send_fds(self._requests, [message], pipes)

    def leave(self) -> None:
        """Let it be, as another process's."""
        self._requests.close()

    def close(self) -> None:
        """End it, amid whatever it loads."""
        self._requests.close()
        if self._process is not None:
            self._process.kill()


def _has_one_thread() -> bool:
    """Whether this process has one, those of libraries included; proc(5), /proc/pid/task."""
    return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208


def hold(modules: Iterable[str] = (), *, fork: bool = False) -> None:
    """Have children forked from here on, until `let_go`.

    The server is started, and loads ``modules``, at once; without any it is started for the first child.
    ``fork``: as a fork of this process, where that has one thread, which is to live as long as the process.
    """
    global _holders, _server  # noqa: PLW0603  # one for the process
    if sys.platform != "linux":
        return
    modules = list(modules)
    with _lock, contextlib.suppress(OSError):
        _holders += 1
        if modules:
            if _server is None:
                _server = _Server(fork=fork)
            _server.send({"load": modules})


def let_go() -> None:
    """Need it no more. The last holder ends it."""
    global _holders, _server  # noqa: PLW0603
    if sys.platform != "linux":
        return
    with _lock:
        _holders -= 1
        if not _holders and _server is not None:
            _server.close()
            _server = None


def server_pid() -> int:
    """The server's process id; 0 when there is none."""
    return _server.pid if _server is not None else 0


def _begin_anew() -> None:
    """In a fork of this very process: the server is that of the other one."""
    global _holders, _lock, _server  # noqa: PLW0603
    _lock = threading.Lock()
    if _server is not None:
        _server.leave()
    _holders, _server = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def start_forked(module: str, arguments: Sequence[str], modules: Sequence[str]) -> ForkedChild | None:
    """``module.main([SERVER_PID, *arguments])`` in a child; ``None`` where no server is held or to be had."""
    global _server  # noqa: PLW0603
    with _lock:
        for _ in range(2):
            if not _holders:
                return None
            try:
                if _server is None:
                    _server = _Server()
                return _start(_server, module, arguments, modules)
            except ConnectionError:
                if _server is not None:
                    _server.close()
                _server = None  # it was killed: another one, once
            except OSError:
                return None
    return None


def _start(
    server: _Server,
    module: str,
    arguments: Sequence[str],
    modules: Sequence[str],
) -> ForkedChild:
    ends = [*os.pipe(), *os.pipe(), *os.pipe()]
    stdin, our_stdin, our_stdout, stdout, our_status, status = ends
    try:
        request = {
            "load": list(modules),
            "module": module,
            "arguments": list(arguments),
            "environment": child_environment(),
            "folder": os.getcwd(),  # noqa: PTH109
        }
        server.send(request, (stdin, stdout, status))
    except BaseException:
        for fd in (our_stdin, our_stdout, our_status):
            os.close(fd)
        raise
    finally:
        for fd in (stdin, stdout, status):
            os.close(fd)
    return ForkedChild(our_stdin, our_stdout, our_status)
