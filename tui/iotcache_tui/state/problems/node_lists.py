"""Problems of a list of nodes that is kept elsewhere: it cannot be had, or names others than those in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iotcache.published_stats import NodeListReport
from iotcache.text import printable
from iotcache_tui.format import plural
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem, some_of

_SHOWN: Final = 200


def node_list(facts: Facts) -> Iterator[Problem]:
    """Of this dashboard's own list, else of the first worker that tells of one."""
    part = facts.part("nodes")
    if part is not None and part.state == "down" and not facts.nodes and part.text:
        yield Problem(
            "nodes", "not known here", "cache nodes", printable(part.text, _SHOWN), "no key can be looked up",
            Gravity.BLIND, part.since_s, "nodes", kind="unlisted",
        )  # fmt: skip
        return
    told = [one.stats.node_list for one in facts.processes.workers if one.stats.node_list is not None]
    reports = [facts.node_list, *told] if facts.node_list is not None else told
    for report in reports:
        if report.trouble:
            yield Problem(
                "nodes", "not followed", "list of nodes", _named(report, report.trouble),
                f"the {plural(report.used, 'node')} of the last good one are in use",
                screen="nodes", kind="list",
            )  # fmt: skip
            break
    differing = [report for report in reports if report.difference]
    if differing:
        report = differing[0]
        counted = f"it names {plural(report.listed, 'node')}, {report.used} in use"
        yield Problem(
            "nodes", "changed", "list of nodes", _named(report, f"{counted}: {report.difference}"),
            _who(facts, [one for one in told if one.difference], len(told)),
            screen="nodes", kind="list changed",
        )  # fmt: skip


def _named(report: NodeListReport, text: str) -> str:
    return f"{printable(report.source, _SHOWN)}: {printable(text, _SHOWN)}"


def _who(facts: Facts, differing: list[NodeListReport], listed: int) -> str:
    whose = (
        f"{some_of(len(differing), listed, 'worker')} and this dashboard" if differing else "this dashboard"
    )
    if facts.node_list is None or not facts.node_list.difference:
        whose = some_of(len(differing), listed, "worker")
    return f"{whose} use another one until a worker takes it over, or iotcache-tui nodes apply"
