"""Check configuration, servers, embedded parts and terminal; say what is wrong and how to mend it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from iotcache.errors import ConfigError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache_tui.checks.base import Finding

_GLYPHS = {"ok": "✓", "warn": "!", "fail": "✗"}
_LABELS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON array")


def run(args: argparse.Namespace) -> int:
    import asyncio

    from iotcache_tui.checks.base import Finding
    from iotcache_tui.cli.options import load_settings

    findings: list[Finding]
    try:
        loaded = load_settings(args)
    except ConfigError as error:
        findings = [Finding("config", "fail", str(error), "mend the setting it names")]
    else:
        import platformdirs

        from iotcache.logs import set_up
        from iotcache_tui.checks import examine

        # The report says what is wrong; what libraries log about it on the way would only bury it.
        set_up(loaded.settings.log, default_file=platformdirs.user_log_path("iotcache") / "doctor.log")
        findings = asyncio.run(examine(loaded))
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=False))
    else:
        _print(findings)
    return 1 if any(finding.level == "fail" for finding in findings) else 0


def _print(findings: list[Finding]) -> None:
    utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    wide = max(len(finding.what) for finding in findings)
    for finding in findings:
        glyph = f"{_GLYPHS[finding.level]} " if utf8 else ""
        print(f"{glyph}{_LABELS[finding.level]}  {finding.what:<{wide}}  {printable(finding.found, 300)}")
        if finding.level != "ok" and finding.mend:
            print(
                f"{'':{wide + 6 + len(glyph)}}  → {printable(finding.mend, 300)}"
                if utf8
                else f"  {finding.mend}"
            )
    bad = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    print(f"\n{bad} problem{'s' if bad != 1 else ''}, {warned} warning{'s' if warned != 1 else ''}")
