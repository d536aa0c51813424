"""What was measured: rows of figures, medians, and ratios to a peer of the same run."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence

from msgspec import Struct, field

from iotcache.text import plural

OURS = "iotcache"


class BenchRow(Struct):
    """One contestant at one task."""

    task: str
    who: str
    unit: str
    runs: list[float] = field(default_factory=list)
    """One figure a round; more is better."""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.runs) if self.runs else 0.0


class BenchTarget(Struct, frozen=True):
    """A promise: our median is at least ``ratio`` times the peer's."""

    task: str
    peer: str
    ratio: float
    ours: str = OURS


class BenchReport(Struct):
    """One benchmark's outcome."""

    name: str
    rows: list[BenchRow]
    targets: list[BenchTarget]
    missing: list[str] = field(default_factory=list)
    """Peers that are not installed."""

    def row(self, task: str, who: str) -> BenchRow | None:
        return next((row for row in self.rows if (row.task, row.who) == (task, who) and row.runs), None)

    def ratio(self, target: BenchTarget) -> float | None:
        """Our median over the peer's; ``None`` when one of them was not measured."""
        ours, peer = self.row(target.task, target.ours), self.row(target.task, target.peer)
        return ours.median / peer.median if ours and peer and peer.median else None

    def as_json(self) -> dict[str, object]:
        """For scripts: every run, medians, targets with their ratios, and the machine."""
        return {
            "benchmark": self.name,
            "machine": {
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "platform": sys.platform,
            },
            "rows": [
                {
                    "task": row.task, "who": row.who, "unit": row.unit, "median": round(row.median, 1),
                    "runs": [round(run, 1) for run in row.runs], "note": row.note,
                }
                for row in self.rows
            ],
            "targets": [
                {
                    "task": target.task, "ours": target.ours, "peer": target.peer, "wanted": target.ratio,
                    "ratio": None if (ratio := self.ratio(target)) is None else round(ratio, 3),
                    "met": None if ratio is None else ratio >= target.ratio,
                }
                for target in self.targets
            ],
            "missing": self.missing,
        }  # fmt: skip


def table(report: BenchReport) -> str:
    """The report for a person's eyes."""
    lines: list[str] = []
    width = max((len(row.who) for row in report.rows), default=0)
    for task in dict.fromkeys(row.task for row in report.rows):
        rows = [row for row in report.rows if row.task == task and row.runs]
        lines.append(
            f"{task} ({rows[0].unit}, median of {plural(len(rows[0].runs), 'round')})" if rows else task
        )
        lines += [_line(row, width) for row in sorted(rows, key=lambda row: -row.median)]
        lines += [_verdict(report, target) for target in report.targets if target.task == task]
        lines.append("")
    if report.missing:
        lines.append(
            f"not installed, so not measured: {', '.join(report.missing)} (pip install 'iotcache-tui[bench]')"
        )
    return "\n".join(lines).rstrip()


def _line(row: BenchRow, width: int) -> str:
    spread = f"{min(row.runs):>11,.0f} to {max(row.runs):<11,.0f}"
    return f"  {row.who:<{width}}  {row.median:>11,.0f}   {spread} {row.note}".rstrip()


def _verdict(report: BenchReport, target: BenchTarget) -> str:
    ratio = report.ratio(target)
    if ratio is None:
        return f"  - against {target.peer}: not measured"
    met = "ok  " if ratio >= target.ratio else "LESS"
    return f"  {met} {ratio:.2f} x {target.peer} (wanted: {target.ratio:g} x)"


def missing_peers(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Peers of ``wanted`` that are not in ``found``."""
    return [name for name in wanted if name not in found]
