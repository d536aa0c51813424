"""The progress bar and the closing lines, for a person at a terminal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from iotcache.text import plural

if TYPE_CHECKING:
    from iotcache_simulator.publish.run import Run
    from iotcache_simulator.report.simulate import Report


async def show_progress(fleet: Run) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("connecting", total=fleet.spec.duration_s, text="")
        while True:
            now = fleet.progress()
            figures = f"{now.published:,} sent, {now.confirmed:,} confirmed, {now.rate:,.0f}/s"
            progress.update(
                task,
                description="waiting" if now.waiting else "publishing",
                completed=min(now.at_s, fleet.spec.duration_s or now.at_s),
                text=_clean(now.waiting) or figures,
            )
            progress.refresh()
            await asyncio.sleep(0.25)


def _clean(text: str) -> str:
    from rich.markup import escape

    from iotcache.text import printable

    return escape(printable(text))


def summary(report: Report) -> str:
    lines = [
        f"{report.published:,} of {plural(report.planned, 'message')} published, "
        f"{report.confirmed:,} confirmed, {report.late:,} late, {report.rate.achieved:,.0f}/s"
    ]
    if report.lag_ms is not None:
        lines.append(f"lag p50 {report.lag_ms.p50:.1f} ms, p99 {report.lag_ms.p99:.1f} ms")
    if (ledger := report.ledger) is not None:
        lines.append(f"ledger: {ledger.lost:,} of {plural(ledger.expected, 'reading')} lost")
    if report.digest is not None:
        lines.append(f"stream {report.digest}")
    return "\n".join(lines)
