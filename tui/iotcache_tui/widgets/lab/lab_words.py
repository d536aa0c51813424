"""A scenario's words: the narration as it stands, as Markdown and as drawn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import inf

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.default_styles import DEFAULT_STYLES
from rich.markdown import Markdown
from rich.text import Text
from rich.theme import Theme

from iotcache.text import plural
from iotcache_simulator.lab.definition.metrics import amount
from iotcache_simulator.lab.state import LabState
from iotcache_tui.key_display import key_shown
from iotcache_tui.state.lab import LabEntry, LabView

ANSWER_KEYS = "abcdef"


class _ThemedMarkdown:
    """Markdown in the screen's own colours: the library's are for a dark terminal (code is on black)."""

    def __init__(self, text: str, colour: str) -> None:
        self._markdown = Markdown(text, code_theme="ansi_dark")
        plain = {name: "none" for name in DEFAULT_STYLES if name.startswith("markdown.")}
        bold = dict.fromkeys(("markdown.strong", "markdown.item.bullet", "markdown.item.number"), "bold")
        code = dict.fromkeys(("markdown.code", "markdown.code_block"), f"bold {colour}")
        self._theme = Theme({**plain, **bold, **code, "markdown.em": "italic"}, inherit=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with console.use_theme(self._theme):
            yield from console.render(self._markdown, options)


def written(text: str, colour: str) -> Group:
    """Markdown, with headings and code in a colour of the theme."""
    parts: list[Text | _ThemedMarkdown] = []
    body: list[str] = []
    for line in [*text.splitlines(), "# "]:
        if line.startswith("#"):
            if any(one.strip() for one in body):
                parts.append(_ThemedMarkdown("\n".join(body), colour))
            body = []
            title = line.lstrip("# ")
            if title:
                parts += [Text("\n" if parts else "", end=""), Text(f"{title}\n", f"bold {colour}")]
        else:
            body.append(line)
    return Group(*parts)


def about(entry: LabEntry, *, brief: bool) -> str:
    """What a scenario of the list is about, in Markdown; ``brief`` where there are few lines."""
    steps = f"{plural(entry.steps, 'step')}, about {entry.minutes:g} min"
    if brief:
        lines = [f"# {entry.title}", entry.summary, "", f"**You will learn** {'; '.join(entry.teaches)}."]
        lines += ["", f"**You should know** {'; '.join(entry.needs)}."] if entry.needs else []
        return "\n".join([*lines, "", f"{steps}, on servers of its own."])
    lines = [f"# {entry.title}", "", entry.summary, "", "**You will learn**", ""]
    lines += [f"- {one}" for one in entry.teaches]
    if entry.needs:
        lines += ["", "**You should know**", "", *(f"- {one}" for one in entry.needs)]
    ends = "It starts servers of its own and ends them; nothing of yours is touched."
    return "\n".join([*lines, "", f"{steps}. {ends}"])


def headline(view: LabView, next_key: str, *, ascii_only: bool) -> str:
    """One line: what is run, how far it is, and whether it can go on."""
    state = view.state
    done, now, rest = ("*", ">", ".") if ascii_only else ("●", "◉", "○")
    over = state.status in ("done", "failed")
    marks = "".join(
        done if index < state.step or over else now if index == state.step else rest
        for index in range(len(view.steps))
    )
    if state.status in ("starting", "failed"):
        where = "starting" if state.status == "starting" else "stopped"
    elif state.shown >= len(view.steps):
        where = "summary"
    else:
        where = f"step {state.shown + 1} of {len(view.steps)}"
    parts = [view.title, view.level, marks, where]
    if view.auto:
        parts.append("by itself")
    elif state.settled and not over and state.shown == state.step:
        question = view.steps[state.step].question
        result = state.steps[state.step] if state.step < len(state.steps) else None
        settled = result is not None and (result.answered or result.revealed)
        open_question = question is not None and not settled
        if open_question and not state.asked:
            parts.append(f"{next_key} asks, or wait")
        else:
            parts.append(f"answer, or {next_key} goes on" if open_question else f"{next_key} goes on")
    return "  ".join(parts)


def _escaped(text: str) -> str:
    """As it is, within Markdown."""
    return re.sub(r"([\\`*_\[\]#<>~|])", r"\\\1", text)


def done_in(state: LabState) -> str:
    """What was done in the step on show, in whole words: in a narrow plot the names of marks are cut."""
    steps = state.steps
    if state.shown >= len(steps):
        return ""
    begin_s = steps[state.shown].began_s
    end_s = steps[state.shown + 1].began_s if state.shown + 1 < len(steps) else inf
    texts = Counter(
        f"“{mark.text}”" if mark.note else mark.text for mark in state.marks if begin_s <= mark.at_s < end_s
    )
    return "; ".join(f"{text} ({count} times)" if count > 1 else text for text, count in texts.items())


def narration(view: LabView, keys: Mapping[str, str], course: str = "") -> str:
    """The narration as it stands, in Markdown; ``keys`` are the user's own.

    ``course``: how far the learner is, for the summary.
    """
    export, restart = key_shown(keys, "lab.export", "E"), key_shown(keys, "lab.restart", "R")
    leave = key_shown(keys, "lab.leave", "Esc")
    state = view.state
    if state.status == "starting":
        return f"# {view.title}\n\n*{state.message or 'starting the servers of this scenario'} …*"
    if state.status == "failed":
        return f"# It could not go on\n\n{state.message}\n\n{leave} leaves."
    if state.shown >= len(view.steps):
        return _summary(
            view,
            f"{export} writes this down with its plots, {restart} begins anew, {leave} leaves.",
            course,
        )
    step = view.steps[state.shown]
    lines = [f"## {state.shown + 1}. {step.title}", "", step.say]
    result = state.steps[state.shown] if state.shown < len(state.steps) else None
    answered = result.answered if result is not None else 0
    revealed = result is not None and (bool(answered) or result.revealed)
    asks = step.question is not None and (revealed or state.asked or state.shown < state.step)
    done = done_in(state)
    # A question that is to be answered needs the lines of a small window more.
    lines += ["", f"*Done: {_escaped(done)}.*"] if done and (revealed or not asks) else []
    if step.question is not None and asks:
        lines += ["", f"**{step.question.ask}**", ""]
        for number, text in enumerate(step.question.answers, 1):
            mark = ""
            if revealed:
                mark = "  ✓" if number == step.question.right else "  ✗" if number == answered else ""
            lines.append(f"- **{ANSWER_KEYS[number - 1]}** {text}{mark}")
        if not revealed:
            answer_keys = ANSWER_KEYS[: len(step.question.answers)]
            lines += ["", f"*Press {', '.join(answer_keys[:-1])} or {answer_keys[-1]}.*"]
        else:
            right = answered == step.question.right
            verdict = "*Right.* " if right else "*Not quite.* " if answered else ""
            lines += ["", f"{verdict}{step.question.why}"]
    return "\n".join(lines)


def _summary(view: LabView, keys: str, course: str) -> str:
    """What was expected and what happened, and what it means."""
    state = view.state
    lines = ["## What it means", "", view.explanation, "", "## What happened", ""]
    red = [check.words or check.text for one in state.steps for check in one.checks if check.state != "green"]
    if state.passed:
        lines.append("**Every expectation held.**")
    else:
        lines.append(f"**Did not hold:** {'; '.join(red)}")
    for number, (step, shown) in enumerate(zip(state.steps, view.steps, strict=False), 1):
        lines += ["", f"**{number}. {step.title}**"]
        lines += ["", *(f"- {did}" for did in step.did)] if step.did else []
        lines += [""] + [
            f"- {'✓' if check.state == 'green' else '✗'} {check.words or check.text}: "
            + amount(check.value, check.unit)
            + ("" if check.now is None else f"; at the end of the step {amount(check.now, check.unit)}")
            for check in step.checks
        ]
        if shown.question is not None and step.answered:
            right = step.answered == shown.question.right
            lines += [
                "",
                f"{shown.question.ask} *{'You knew.' if right else 'Not quite.'}* {shown.question.why}",
            ]
    return "\n".join([*lines, "", *([course, ""] if course else []), keys])
