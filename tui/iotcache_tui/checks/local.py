"""What this machine and this terminal can do."""

from __future__ import annotations

import asyncio
import importlib.util
import locale
import os
import shutil
import socket
import sys
import tempfile

from iotcache.config.schema import Settings
from iotcache.config.urls import parse_embedded_nodes
from iotcache_tui.checks.base import Finding


async def check_embedded(settings: Settings) -> list[Finding]:
    """What embedded parts need; nothing is said of parts that are not embedded."""
    findings: list[Finding] = []
    nodes = settings.cache.nodes
    embedded_nodes = parse_embedded_nodes(nodes) if isinstance(nodes, str) else None
    if settings.broker.url == "embedded":
        found = importlib.util.find_spec("iotcore") is not None
        findings.append(
            Finding("embedded broker", "ok", "iotcore is installed")
            if found
            else Finding("embedded broker", "fail", "iotcore is not installed", "pip install iotcore")
        )
    if embedded_nodes:
        findings.append(_memcached(settings.cache.embedded_server))
    if settings.store.url == "embedded" or findings:
        findings.append(await asyncio.to_thread(_temp_folder))
    if findings:
        findings.append(_loopback())
    return findings


def _memcached(wanted: str) -> Finding:
    path = shutil.which("memcached")
    if wanted == "bundled":
        return Finding("embedded nodes", "ok", "the bundled Python node, as cache.embedded_server says")
    if path:
        return Finding("embedded nodes", "ok", f"memcached is {path}")
    mend = "install memcached (apt install memcached, brew install memcached) for the real thing"
    if wanted == "memcached":
        return Finding("embedded nodes", "fail", "memcached is asked for and not on PATH", mend)
    return Finding(
        "embedded nodes", "warn", "memcached is not on PATH: the bundled Python node is used", mend
    )


def _temp_folder() -> Finding:
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
    except OSError as error:
        return Finding(
            "temp folder", "fail", f"{folder}: {error.strerror}", "set TMPDIR to a folder you may write"
        )
    return Finding("temp folder", "ok", folder)


def _loopback() -> Finding:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Finding(
            "loopback port", "fail", f"127.0.0.1: {error.strerror}", "see what forbids binding a port"
        )
    return Finding("loopback port", "ok", "a free port can be bound on 127.0.0.1")


def check_terminal() -> list[Finding]:
    """Whether the dashboard can be drawn where we run."""
    if not sys.stdout.isatty():
        return [Finding("terminal", "ok", "standard output is no terminal; headless commands work")]
    findings: list[Finding] = []
    term = os.environ.get("TERM", "")
    if os.name == "posix" and term in ("", "dumb", "unknown"):
        findings.append(
            Finding(
                "terminal",
                "fail",
                f"TERM is {term or 'not set'}",
                "use a terminal emulator, or set TERM=xterm-256color",
            )
        )
    columns, rows = shutil.get_terminal_size()
    big = columns >= 80 and rows >= 24
    findings.append(
        Finding(
            "terminal size",
            "ok" if big else "warn",
            f"{columns}x{rows}",
            "" if big else "80x24 or larger shows all",
        )
    )
    depth = os.environ.get("COLORTERM", "")
    if os.environ.get("NO_COLOR"):
        findings.append(Finding("colours", "ok", "NO_COLOR is set: none"))
    elif depth in ("truecolor", "24bit"):
        findings.append(Finding("colours", "ok", "16 million"))
    else:
        findings.append(
            Finding("colours", "ok" if "256" in term else "warn", f"TERM={term}",
                    "" if "256" in term else "TERM=xterm-256color shows more, if the terminal can")
        )  # fmt: skip
    encoding = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    utf8 = encoding.replace("-", "").startswith("utf8")
    findings.append(
        Finding("encoding", "ok" if utf8 else "warn", encoding,
                "" if utf8 else "use a UTF-8 locale, or --set dashboard.ascii=true")
    )  # fmt: skip
    return findings
