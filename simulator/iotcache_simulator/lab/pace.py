"""How long an unattended show stays at a step, so that those who watch can read it."""

from __future__ import annotations

from typing import Final, NamedTuple

from iotcache_simulator.lab.definition.scenario import Step

S_PER_WORD: Final = 0.3
"""Some 200 words a minute: reading from a screen, with an eye on the figures."""
_ORIENTATION_S: Final = 3.0
"""To find one's way on a new step, and to think about a question."""


def reading_s(*texts: str) -> float:
    """Seconds that reading takes."""
    return S_PER_WORD * sum(len(text.split()) for text in texts)


class Pace(NamedTuple):
    """Seconds since the step's acts were done."""

    ask_s: float
    """When the narration has been read; the question stands there once the lights are settled, too."""
    reveal_after_s: float
    """From then on: when its right answer is shown."""
    leave_after_s: float
    """From then on: when the show goes on."""

    @classmethod
    def of(cls, step: Step) -> Pace:
        """The pace at which people read."""
        question = step.question
        if question is None:
            return cls(_ORIENTATION_S + reading_s(step.say), 0.0, 0.0)
        question_s = _ORIENTATION_S + reading_s(question.ask, *question.answers)
        return cls(_ORIENTATION_S + reading_s(step.say), question_s, _ORIENTATION_S + reading_s(question.why))
