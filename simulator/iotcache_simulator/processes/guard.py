"""Holds one foreign program on a leash: the program ends when the guard's stdin does.

Run as ``python -I -S -E guard.py PARENT_PID GRACE_S USER PROGRAM ARGUMENT…`` (USER ``-``: as we are); only
the standard library, and little of it, so that it is up in some 20 ms. What it says on stdout is RFC 7464
JSON text sequences, mixed with the program's own output: ``{"pid": N}`` once the program runs, ``{"exit":
status}`` when it has ended. On stdin it takes the line ``stop`` (SIGTERM, GRACE_S seconds, SIGKILL); end of
file kills the program at once, which is what happens when the parent dies, however it dies. On Linux the
kernel backs this up: should the guard itself be killed, or be stopped when the parent dies, the death
signal of ``prctl(2)`` ends both.
"""

from __future__ import annotations

import os
import signal
import sys

RECORD_SEPARATOR = b"\x1e"
_PR_SET_PDEATHSIG = 1
_CANNOT_RUN = 127


def die_with_parent(parent_pid: int) -> None:
    """Ask Linux to kill this process when the thread that started it ends; elsewhere do nothing.

    Survives ``exec``, but not a change of user: call it after that. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request was made
        os._exit(_CANNOT_RUN)


def say(record: str) -> None:
    """One control record to the parent, in one write so that nothing gets between its bytes."""
    try:  # noqa: SIM105  # contextlib would cost more start-up time than all the rest
        os.write(1, RECORD_SEPARATOR + record.encode("ascii", "backslashreplace") + b"\n")
    except OSError:  # the parent is gone; end of file on stdin is about to tell
        pass


def _become(user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _launch(user: str, command: list[str]) -> tuple[int, int, str]:
    """Start the program; gives its pid, our end of the pipe that is its stdin, and why it cannot be run.

    Returns once the program is loaded, death signal and all: from then on it may be stopped or signalled.
    """
    guard_pid = os.getpid()
    parent_read, parent_write = os.pipe()
    failed_read, failed_write = os.pipe()  # closed by a successful exec
    if sys.platform == "linux":
        import ctypes  # noqa: F401  # loaded before the fork: the child has less to do
    pid = os.fork()
    if pid:
        os.close(parent_read)
        os.close(failed_write)
        return pid, parent_write, os.read(failed_read, 1_000).decode("utf-8", "replace")
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(parent_read, 0)
        os.dup2(1, 2)
        if user != "-":
            _become(user)
        die_with_parent(guard_pid)
        os.execvp(command[0], command)  # noqa: S606
    except BaseException as error:
        os.write(failed_write, str(error).encode("utf-8", "backslashreplace"))
    os._exit(_CANNOT_RUN)


def _kill(pid: int, *numbers: int) -> None:
    for number in numbers:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def _watch(pid: int, wake: int, grace_s: float) -> int:
    """Wait for the program's end, and end it when told to; gives its wait status."""
    import select
    import time

    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wake, select.POLLIN)
    deadline: float | None = None
    stopping = False
    while True:
        timeout_ms = None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000)
        ready = [fd for fd, _ in poll.poll(timeout_ms)]
        stop = wake in ready and _stop_signalled(os.read(wake, 64))
        if 0 in ready:
            line = os.read(0, 4096)
            stop = stop or b"stop" in line
            if not line:
                poll.unregister(0)
                _kill(pid, signal.SIGKILL)
        if stop and not stopping:
            stopping = True
            deadline = time.monotonic() + grace_s
            if grace_s > 0:
                _kill(pid, signal.SIGTERM, signal.SIGCONT)
        if deadline is not None and time.monotonic() >= deadline:
            deadline = None
            _kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status


def _stop_signalled(numbers: bytes) -> bool:
    return any(number in numbers for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def _guard_posix(grace_s: float, user: str, command: list[str]) -> int:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    pid, _parent_pipe, failure = _launch(user, command)
    if failure:
        import json

        say(json.dumps({"error": f"cannot run {command[0]}: {failure}"}))
        return _CANNOT_RUN
    say(f'{{"pid": {pid}}}')
    status = _watch(pid, wake_read, grace_s)
    code = os.waitstatus_to_exitcode(status)
    say(f'{{"exit": {code}}}')
    return code if code >= 0 else 128 - code


def _guard_windows(grace_s: float, command: list[str]) -> int:
    """Without fork and poll: a thread waits for our stdin, and stopping is terminating."""
    import subprocess
    import threading

    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=1, stderr=1)

    def obey() -> None:
        sys.stdin.buffer.readline()
        program.kill()

    threading.Thread(target=obey, daemon=True).start()
    say(f'{{"pid": {program.pid}}}')
    code = program.wait()
    say(f'{{"exit": {code}}}')
    return code


def main(arguments: list[str]) -> int:
    parent_pid, grace_s, user = int(arguments[0]), float(arguments[1]), arguments[2]
    command = arguments[3:]
    if sys.platform == "win32":
        return _guard_windows(grace_s, command)
    die_with_parent(parent_pid)
    return _guard_posix(grace_s, user, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
