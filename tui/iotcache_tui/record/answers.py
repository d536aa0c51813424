"""The newest answers to each question that screens asked, bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotcache_tui.record.frames import Answered

QUESTIONS_MAX: Final = 200
BYTES_MAX: Final = 2_000_000
"""An answer larger than this is not kept: a walk over a whole node is not asked for again in a replay."""


class AnswerBook:
    """By the question, in the order they were asked."""

    def __init__(self, answers: Iterable[Answered] = ()) -> None:
        self._answers: dict[tuple[str, bytes], list[Answered]] = {}
        for answer in answers:
            self.add(answer)

    def add(self, answer: Answered) -> None:
        """One piece; the first piece after a last one begins the answer anew."""
        key = answer.request, answer.asked
        before = self._answers.get(key)
        if before is None or before[-1].done:
            self._answers.pop(key, None)
            before = self._answers[key] = []
        before.append(answer)
        if sum(len(one.value) for one in before) > BYTES_MAX:
            del self._answers[key]
        while len(self._answers) > QUESTIONS_MAX:
            del self._answers[next(iter(self._answers))]

    def find(self, request: str, asked: bytes) -> list[Answered]:
        return self._answers.get((request, asked), [])

    def everything(self) -> tuple[Answered, ...]:
        return tuple(answer for answers in self._answers.values() for answer in answers)
