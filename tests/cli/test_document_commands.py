"""Every command in the documents is taken by the program, and those that are marked so are run."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from iotcache.errors import UsageError
from iotcache_tui.cli.main import command_and_rest
from iotcache_tui.cli.parsers import COMMANDS, command_parser
from tests.wheel import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PATIENCE_S = 60.0
RECORDED_S = 5.0
"""How long a recording is made before it is ended: the lines after it play seconds of it."""


class Block(NamedTuple):
    """Lines for a shell in a document."""

    place: str
    mark: str
    kind: str
    text: str

    def commands(self) -> list[str]:
        lines = self.text.splitlines()
        if self.kind == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [re.sub(r"\s+#.*", "", line) for line in lines]


def _blocks() -> list[Block]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        shape = r"^(?:<!-- tested: ([^\n]*) -->\n)?```(sh|console|bash|shell)\n(.*?)^```$"
        for match in re.finditer(shape, text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(f"{path.relative_to(ROOT)}:{line}", match[1] or "", match[2], match[3]))
    return found


BLOCKS = _blocks()
RUN = [
    pytest.param(block, id=block.place, marks=pytest.mark.long)
    for block in BLOCKS
    if block.mark.startswith("run")
]


def _ours(line: str) -> list[list[str]]:
    """What a line gives to our program, without what it does with its output."""
    words = shlex.split(line)
    for end in ("|", ">", ">>", "&&", ";"):
        if end in words:
            words = words[: words.index(end)]
    return [words[1:]] if words and words[0] == "iotcache-tui" else []


def _take(words: list[str]) -> None:
    """Raises `UsageError`, or exits for ``--version``."""
    command, rest = command_and_rest(words)
    assert command is None or command in dict(COMMANDS), f"there is no command {command}"
    command_parser(command).parse(rest)


def test_every_block_for_a_shell_says_how_it_is_tested() -> None:
    assert [
        block.place for block in BLOCKS if not re.fullmatch(r"run( at length)?|parsed \(.+\)", block.mark)
    ] == []
    assert len(RUN) >= 5


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_the_commands_of_a_block_are_taken(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in block.commands():
        for words in _ours(line):
            _take(words)
        if line.startswith("make "):
            assert line.split()[1] in targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_running_text_are_taken(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Placeholders are filled in; what may be left out and what a command needs besides is passed over."""
    for text in re.findall(r"`(iotcache-tui\b[^`]*)`", path.read_text("utf-8")):
        plain = re.sub(r"\b[A-Z]\b", "1", re.sub(r"[\[\]]", "", " ".join(text.split())))
        plain = re.sub(r"(\w+)\|\S+", r"\1", plain)
        for words in _ours(plain):
            try:
                _take(words)
            except UsageError as error:
                if "required" not in str(error):
                    raise AssertionError(f"{text}: {error}") from error
            except SystemExit as end:
                assert end.code == 0, text


def run_line(line: str, folder: Path, env: dict[str, str]) -> str:
    """Run a line in a terminal, and end what does not end by itself as a person would; what it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line}" if "|" not in line and ">" not in line else line],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, asked, ends_s = b"", False, 0.0
    until = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    seen += os.read(ours, 65_536)
                except OSError:  # Linux ends a terminal without a writer so
                    break
            elif process.poll() is not None:
                break
            if not asked and b"cold-0001" in seen and b"\x1b[?1049h" in seen:
                ends_s = ends_s or time.monotonic() + (RECORDED_S if "--record" in line else 0.0)
                if time.monotonic() >= ends_s:
                    asked = bool(os.write(ours, b"q"))
            elif not asked and line.startswith("iotcache-tui ingest") and b"\n" in seen:
                process.send_signal(signal.SIGTERM)
                asked = True
        assert process.wait(10) == 0, f"{line}: {seen[-2_000:]!r}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    return seen.decode("utf-8", "replace").replace("\r\n", "\n")


def _holds(wanted: str, written: str) -> bool:
    """Whether the lines of ``wanted`` were written, in this order; ``…`` stands for any."""
    at = 0
    lines = written.splitlines()
    for line in wanted.splitlines():
        if line == "…":
            continue
        if line not in lines[at:]:
            return False
        at += lines[at:].index(line) + 1
    return True


@pytest.mark.real("mosquitto")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("block", RUN)
def test_a_block_is_run_as_it_stands(block: Block, stack: dict[str, str], tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "iotcache-tui"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m iotcache_tui "$@"\n')
    program.chmod(0o755)
    (tmp_path / "mine.toml").write_text(
        f'broker.url = "{stack["BROKER"]}"\nstore.url = "{stack["STORE"]}"\n'
        f"cache.nodes = {stack['NODES'].split(',')}\n".replace("'", '"')
    )
    env = stack | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "TERM": "xterm-256color",
        "LINES": "40", "COLUMNS": "120",
        "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path),
    }  # fmt: skip
    port = stack["BROKER"].rpartition(":")[2]
    written = "".join(run_line(line.replace("PORT", port), tmp_path, env) for line in block.commands())
    if block.kind == "console":
        wanted = "\n".join(line for line in block.text.splitlines() if not line.startswith("$ "))
        assert _holds(wanted, written), written
