"""What the Lab screen shows: the scenarios, and the one that is being run. All texts are safe to show."""

from __future__ import annotations

from msgspec import Struct

from iotcache_simulator.lab.state import LabState
from iotcache_tui.state.requests import Request


class LabEntry(Struct, frozen=True):
    """One scenario of the list."""

    name: str
    title: str
    level: str
    minutes: float
    summary: str
    teaches: tuple[str, ...]
    needs: tuple[str, ...]
    steps: int


class LabCatalogue(Struct, frozen=True):
    entries: tuple[LabEntry, ...]
    wrong: tuple[str, ...] = ()
    """What is wrong with files that are no scenarios."""


class LabQuestion(Struct, frozen=True):
    ask: str
    answers: tuple[str, ...]
    right: int
    why: str


class LabStep(Struct, frozen=True):
    """A step's words."""

    title: str
    say: str
    point: tuple[str, ...]
    question: LabQuestion | None
    metrics: tuple[str, ...] = ()
    """What it expects something of, its proof first."""


class LabCurve(Struct, frozen=True):
    """One metric of the plot."""

    metric: str
    unit: str
    points: tuple[tuple[float, float | None], ...]
    plotted: bool = True
    """Whether it is one of the scenario's plots; others are drawn in big type only."""


class LabView(Struct, frozen=True):
    """The run as it stands; ``name`` is empty when none is."""

    name: str
    title: str = ""
    level: str = ""
    steps: tuple[LabStep, ...] = ()
    summary: str = ""
    explanation: str = ""
    sides: tuple[str, ...] = ()
    state: LabState = LabState("starting")
    curves: tuple[LabCurve, ...] = ()
    auto: bool = False
    nodes: int = 0
    """Cache nodes that the run started."""
    beside: bool = False
    """Whether the other screens look at other servers than the run's own."""


NO_LAB = LabView("")


class LoadLabCatalogue(Request, frozen=True):
    """Answers: `LabCatalogue`."""


class LabRun(Request, frozen=True):
    """Run a scenario on a stack of its own, until it is over or nobody waits any more.

    How it goes is in the state; the only answer is the last one. One at a time.
    """

    name: str
    auto: bool = False


class LabDo(Request, frozen=True):
    """Drive the run: ``next``, ``skip``, ``back``, ``answer`` with a number, ``note`` with a text."""

    what: str
    number: int = 0
    text: str = ""


class LabImprovise(Request, frozen=True):
    """Do something to the servers of the run that no step of it does."""

    act: str
    """``kill``, ``pause``, ``resume``, ``restart`` (node or broker), ``store``, ``fleet`` or ``flush``."""
    node: int = 0
    """Counted from 1; 0 for the broker."""
    value: float = 0.0
    """Milliseconds for the store, a factor for the fleet."""


class LabExport(Request, frozen=True):
    """Write the summary of the run, with its plots. Answers: `LabExported`."""

    folder: str
    certificate: str = ""
    """Not the summary but this page."""


class LabExported(Struct, frozen=True):
    files: tuple[str, ...]
