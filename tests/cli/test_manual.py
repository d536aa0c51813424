"""The manual page: all commands and flags in it, and roff that its formatter takes without a warning."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iotcache_tui.cli.main import main
from iotcache_tui.cli.parsers import COMMANDS, commands_of, whole_parser


@pytest.fixture(scope="module")
def rendered() -> str:
    """As a reader sees it, on lines of 200 characters so that no flag is broken."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "iotcache_tui", "manual"], capture_output=True, check=True, timeout=60
    )
    page = subprocess.run(
        ["man", "-l", "-"], input=done.stdout, capture_output=True, check=True, timeout=60,
        env={**os.environ, "MANWIDTH": "200", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert page.stderr == b""
    return re.sub(r".\x08", "", page.stdout.decode()).replace("‐", "-")


def test_every_command_and_flag_is_in_it(rendered: str) -> None:
    for name, _ in COMMANDS:
        assert f"iotcache-tui {name}" in rendered
    for each in commands_of(whole_parser()).values():
        for action in each._actions:
            for flag in {*action.option_strings} - {"-h", "--help"}:
                assert flag in rendered, (each.prog, flag)


@pytest.mark.parametrize("heading", ["NAME", "SYNOPSIS", "EXAMPLES", "FILES AND ENVIRONMENT", "EXIT STATUS"])
def test_it_has_the_parts_of_a_manual_page(rendered: str, heading: str) -> None:
    assert re.search(rf"^{heading}$", rendered, re.MULTILINE)


def test_printed_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manual"]) == 0
    assert capsys.readouterr().out.startswith(".TH IOTCACHE")


def test_opened_in_a_terminal(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "iotcache_tui", "manual"],
        stdout=child, stdin=subprocess.DEVNULL, env={**os.environ, "MANPAGER": "cat"},
    ) as process:  # fmt: skip
        os.close(child)
        seen = b""
        try:
            while chunk := os.read(parent, 65_536):
                seen += chunk
        except OSError:  # Linux ends a terminal without a writer so
            pass
        assert process.wait(60) == 0
    os.close(parent)
    assert b"User Commands" in seen
