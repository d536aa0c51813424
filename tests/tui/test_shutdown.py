"""Signals that end a program without an event loop, wherever they find it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import faulthandler, itertools, signal, sys
from iotcache_tui.shutdown import leave_on_signals

faulthandler.dump_traceback_later(20, exit=True)

def interrupted_at(wanted):
    '''Wait, and be signalled at the line of that number within `wait`; whether there are so many.'''
    lines = itertools.count()

    def trace(frame, event, _):
        if event == "line" and next(lines) == wanted:
            signal.raise_signal(signal.SIGTERM)
        return trace

    stopping = leave_on_signals()
    sys.settrace(trace)
    try:
        stopping.wait(0.001)
    finally:
        sys.settrace(None)
    told = next(lines) > wanted
    assert stopping.is_set() is told
    return told

line = 0
while interrupted_at(line):
    line += 1
assert line
"""


def test_a_signal_that_comes_at_any_line_of_the_wait_ends_it() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
