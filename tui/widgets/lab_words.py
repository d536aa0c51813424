"""A scenario's words: the narration as it stands, as Markdown and as drawn."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.markdown import Markdown
from rich.text import Text

from tui.keyname import key_shown
from tui.state.lab import LabView

ANSWER_KEYS = "abcdef"


def written(text: str, colour: str) -> Group:
    """Markdown, with headings in a colour of the theme."""
    parts: list[Text | Markdown] = []
    body: list[str] = []
    for line in [*text.splitlines(), "# "]:
        if line.startswith("#"):
            if any(one.strip() for one in body):
                parts.append(Markdown("\n".join(body)))
            body = []
            title = line.lstrip("# ")
            if title:
                parts += [Text("\n" if parts else "", end=""), Text(f"{title}\n", f"bold {colour}")]
        else:
            body.append(line)
    return Group(*parts)


def narration(view: LabView, keys: Mapping[str, str]) -> str:
    """The narration as it stands, in Markdown; ``keys`` are the user's own."""
    export, restart = key_shown(keys, "lab.export", "E"), key_shown(keys, "lab.restart", "R")
    leave = key_shown(keys, "lab.leave", "Esc")
    state = view.state
    if state.status == "starting":
        return f"# {view.title}\n\n*{state.said or 'starting the servers of this scenario'} …*"
    if state.status == "failed":
        return f"# It could not go on\n\n{state.said}\n\n{leave} leaves."
    step = view.steps[state.shown]
    lines = [f"## {state.shown + 1}. {step.title}", "", step.say]
    answered = state.steps[state.shown].answered if state.shown < len(state.steps) else 0
    if step.question is not None and (state.settled or state.shown < state.step):
        lines += ["", f"**{step.question.ask}**", ""]
        for number, text in enumerate(step.question.answers, 1):
            mark = ""
            if answered:
                mark = "  ✓" if number == step.question.right else "  ✗" if number == answered else ""
            lines.append(f"- **{ANSWER_KEYS[number - 1]}** {text}{mark}")
        if answered:
            right = answered == step.question.right
            lines += ["", f"*{'Right.' if right else 'Not quite.'}* {step.question.why}"]
    if state.status == "done" and state.shown == len(view.steps) - 1:
        held = state.held
        red = [light.text for one in state.steps for light in one.lights if light.light != "green"]
        lines += ["", "---", "", "## What it means", "", view.explanation, ""]
        lines += [
            "**Every expectation held.**"
            if held
            else f"**Did not hold:** {'; '.join(f'`{text}`' for text in red)}",
            "",
            f"{export} writes this down with its plots, {restart} begins anew, {leave} leaves.",
        ]
    return "\n".join(lines)
