"""Open the manual page of all commands; where the output is no terminal, print it as roff, for man.

``iotcache-tui manual > ~/.local/share/man/man1/iotcache-tui.1`` installs it, so that ``man iotcache-tui``
opens it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.manual import page

    reader = shutil.which("man")
    if not sys.stdout.isatty() or reader is None:
        print(page(), end="")
        return 0
    # man names no standard way to read its input; "-l -" is that of man-db and of mandoc.
    return subprocess.run([reader, "-l", "-"], input=page().encode(), check=False).returncode
