"""Problems of messages that workers took in and that became no reading. Pure functions of facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iotcache.text import printable
from iotcache_tui.state.message_outcomes import MessageOutcomes, together, totals
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem

SHORT_S: Final = 3.5
LONG_S: Final = 10.5
"""Workers tell of themselves once a second: three of their looks, and ten."""
FEW: Final = 3
"""So few say nothing of the others."""
MANY: Final = 10
PART_LEAST: Final = 5
PART_SHARE: Final = 0.2
"""A device that sends rubbish among others that do not is told by the dead letters alone."""
_CAUSE_MOST: Final = 300


def refused(facts: Facts) -> Iterator[Problem]:
    """No message becomes a reading, or far too few do."""
    workers = facts.processes.workers
    if not workers or all(one.stats.waiting_for for one in workers):
        return
    lately = _window(facts, LONG_S)
    shortly = _window(facts, SHORT_S)
    seen = shortly if shortly.received >= FEW else lately
    ever = together(
        (MessageOutcomes(0.0, *totals(one.stats)) for one in workers if not one.stats.is_new), facts.now_s
    )
    never_any = ever.readings == 0 and ever.unused > 0
    if never_any or (seen.readings == 0 and seen.unused >= max(FEW, seen.received / 2)):
        counted = seen if seen.unused else ever
        sure = ever.unused >= FEW if never_any else lately.readings == 0 and lately.unused >= MANY
        yield _problem(
            facts,
            "every message",
            "refused" if counted.refused >= counted.nothing else "without a reading",
            "",
            "nothing is stored",
            Gravity.DOWN if sure else Gravity.WARNING,
            nothing=counted.nothing > counted.refused,
        )
    elif lately.unused >= PART_LEAST and lately.unused >= PART_SHARE * lately.received:
        share = min(100 * lately.unused / max(lately.received, 1), 100)
        yield _problem(
            facts,
            "messages",
            "refused in part" if lately.refused >= lately.nothing else "without a reading in part",
            f"{share:.0f} % of them: ",
            "they are kept as dead letters" if lately.refused >= lately.nothing else "",
            Gravity.WARNING,
            nothing=lately.nothing > lately.refused,
        )


def _problem(  # noqa: PLR0917 a sentence's parts in their order
    facts: Facts, what: str, label: str, before: str, effect: str, gravity: Gravity, *, nothing: bool
) -> Problem:
    told = [one.stats for one in facts.processes.workers]
    if nothing:
        latest = max(told, key=lambda stats: stats.nothing_in_it).last_nothing_in_it
        cause = f"nothing in it that is read, as on {latest}"
    else:
        cause = max(told, key=lambda stats: stats.dead_letters - stats.conflicts).last_refusal
    return Problem(
        "workers", label, what, before + (printable(cause, _CAUSE_MOST) or "the dead letters tell why"),
        effect, gravity, screen="events", place="dead letter", kind="unreadable",
    )  # fmt: skip


def _window(facts: Facts, seconds: float) -> MessageOutcomes:
    return together((one for one in facts.outcomes if one.at_s > facts.now_s - seconds), facts.now_s)
