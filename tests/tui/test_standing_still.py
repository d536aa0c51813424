"""What would bring the whole program to a stand does not; and if something does, it can be ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from textual.widgets._toast import Toast  # its creation is the moment in question

from tests.tui.conftest import RunApp, until_shown

STUCK = """
import asyncio, os, signal, sys
from iotcache_tui.shutdown import end_on_signals

async def main():
    end_on_signals(lambda: None, lambda: os.write(1, b"cleaned up"))
    os.write(1, b"ready\\n")
    while True:  # as a loop does that never gives way
        pass

asyncio.run(main())
"""


async def test_a_notification_whose_time_runs_out_while_it_is_shown_again_stops_nothing(
    run_app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [time.time()]  # a notification notes when it was raised by the clock itself
    monkeypatch.setattr("textual.notifications.time", lambda: now_s[0])
    made = Toast.__init__

    def late(self: Toast, *args: Any) -> None:
        now_s[0] += 60.0  # after the look whether it is over, before the one how long it lasts
        made(self, *args)
        shown.append(self)

    shown: list[Toast] = []
    monkeypatch.setattr(Toast, "__init__", late)
    async with run_app() as (app, pilot):
        app.tell("watching 3 rows")
        async with asyncio.timeout(30):
            while not shown or shown[0].is_attached:  # it goes when its time is over
                await pilot.pause(0.01)
        await pilot.press("3")
        await until_shown(app, pilot, "Ring")


def test_a_program_whose_loop_never_gives_way_obeys_a_polite_kill() -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", STUCK], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            os.kill(process.pid, signal.SIGTERM)
            assert process.stdout.read() == b"cleaned up"
            assert process.wait() == 128 + signal.SIGTERM
        finally:
            process.kill()
