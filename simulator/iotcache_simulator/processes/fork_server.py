"""Forks our Python children off a process that has loaded their modules, so that each is at work at once.

Run as ``python -P -m iotcache_simulator.processes.fork_server PARENT_PID FD``, or by `serve_in_fork`. FD is
our end of a pair of Unix sockets that keep the bounds of messages (SOCK_SEQPACKET). A message is a JSON
object: ``load`` names modules; one that starts a child has ``module``, ``arguments``, ``environment`` and
``folder`` as well, and brings three descriptors: its stdin, its stdout, and the pipe on which its end is told
(the exit status in digits, as `subprocess` has it). Between two messages one module more is loaded. A child
that has ended stays a zombie until the reader of that pipe has gone, so that nobody else is given its process
id while a signal for it may be under way. End of file on the socket means that the parent is gone or needs us
no more.

One thread only, whatever is loaded: a fork copies no other.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

from iotcache_simulator.processes.child_environment import MESSAGE_BYTES, child_environment
from iotcache_simulator.processes.guard import die_with_parent, say

PIPES: Final = 3
_PR_SET_NAME: Final = 15  # prctl(2)
_NAME_BYTES: Final = 15
_OWN_NAME: Final = "iotcache-forks"

Target = Callable[[], int]


class ForkServer:
    """Serves one parent until that closes its end."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._to_load: list[str] = []
        self._running: dict[int, int] = {}
        """By process id, the pipe on which its end is told."""
        self._ended: dict[int, int] = {}
        """By pipe, the process that is to be reaped once the reader of that has gone."""
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._wake_write = wake

    def serve(self) -> Target | None:
        """In each child what it is to run; in the server ``None``, once it is needed no more."""
        while True:
            poll = select.poll()
            for fd in (self._requests.fileno(), self._wake):
                poll.register(fd, select.POLLIN)
            for fd in self._ended:
                poll.register(fd, 0)  # POLLERR: nobody reads it any more
            ready = {fd for fd, _ in poll.poll(0 if self._to_load else None)}
            self._reap(ready)
            if self._requests.fileno() in ready:
                message, pipes, _, _ = socket.recv_fds(self._requests, MESSAGE_BYTES, PIPES)
                if not message:
                    return None
                target = self._answer(json.loads(message), pipes)
                if target is not None:
                    return target
            elif self._to_load:
                _load(self._to_load.pop(0))

    def _reap(self, ready: set[int]) -> None:
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4_096)
            for pid in list(self._running):
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if end is not None:
                    code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
                    pipe = self._running.pop(pid)
                    with contextlib.suppress(BrokenPipeError):
                        os.write(pipe, str(code).encode())
                    self._ended[pipe] = pid
        for pipe in ready & self._ended.keys():
            os.waitpid(self._ended.pop(pipe), 0)
            os.close(pipe)

    def _answer(self, request: dict[str, Any], pipes: list[int]) -> Target | None:
        if not pipes:
            self._to_load += request["load"]
            return None
        for module in request["load"]:
            _load(module)
        gc.freeze()  # what is loaded is garbage in no child: its pages stay those of all
        server_pid = os.getpid()
        stdin, stdout, status = pipes
        pid = os.fork()
        if pid:
            os.close(stdin)
            os.close(stdout)
            self._running[pid] = status
            return None
        self._forget(status)
        return _become(request, server_pid, stdin, stdout)

    def _forget(self, status: int) -> None:
        """In a child: let go of all that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        for fd in (status, self._wake, self._wake_write, *self._running.values(), *self._ended):
            os.close(fd)


def _load(module: str) -> None:
    with contextlib.suppress(Exception):  # the child that needs it tells why
        importlib.import_module(module)


def _become(request: dict[str, Any], server_pid: int, stdin: int, stdout: int) -> Target:
    die_with_parent(server_pid)
    os.setsid()
    for fd, standard in ((stdin, 0), (stdout, 1), (stdout, 2)):
        os.dup2(fd, standard)
    os.close(stdin)
    os.close(stdout)
    gc.enable()
    os.environ.clear()
    os.environ.update(request["environment"])
    with contextlib.suppress(OSError):
        os.chdir(request["folder"])
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = None  # TMPDIR may be another by now
    _name(f"iotcache-{request['arguments'][0]}")
    run: Callable[[list[str]], int] = importlib.import_module(request["module"]).main
    say(f'{{"pid": {os.getpid()}}}')
    return lambda: run([str(server_pid), *request["arguments"]])


def _name(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:_NAME_BYTES], 0, 0, 0)


def main(arguments: list[str]) -> int:
    die_with_parent(int(arguments[0]))
    gc.disable()  # it would go through all that is loaded, again and again
    target = ForkServer(socket.socket(fileno=int(arguments[1]))).serve()
    return 0 if target is None else target()


def serve_in_fork(parent_pid: int, requests: socket.socket) -> NoReturn:
    """Go on as a server, in a fork of a program of one thread, with nothing of that program's but modules."""
    code = 1
    try:
        die_with_parent(parent_pid)
        os.setsid()
        _name(_OWN_NAME)
        _forget_program(requests.fileno())
        gc.disable()
        target = ForkServer(requests).serve()
        code = 0 if target is None else target()
    except BaseException:
        traceback.print_exc()
    finally:
        # Not by way of what the program, whose frames are beneath us, would do at its end.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _forget_program(requests: int) -> None:
    """Its terminal and other files, its handlers of signals, its log, and its own variables."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208
        # Not closed: an object that has it may close it later, and its number would be another file's.
        with contextlib.suppress(OSError):
            if fd not in (requests, null):
                os.dup2(null, fd, inheritable=os.get_inheritable(fd))
    os.close(null)
    for handler in logging.root.handlers[:]:
        logging.root.removeHandler(handler)
        handler.close()
    logging.root.setLevel(logging.WARNING)
    environment = child_environment()
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
