"""What a screen, a dialog or the palette may use of the program around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict, Unpack

from iotcache_tui.state.requests import RequestChannel

if TYPE_CHECKING:
    from iotcache.clock import Clock
    from iotcache.config.schema import DashboardSettings
    from iotcache_simulator.lab.certificate import LessonTaken
    from iotcache_tui.preferences import UiPreferences
    from iotcache_tui.screens.context_choice import ContextChoice
    from iotcache_tui.state.dashboard import DashboardState
    from iotcache_tui.widgets.common.seek_bar import Playback

ToastSeverity = Literal["information", "warning", "error"]


class PreferenceChanges(TypedDict, total=False):
    """Fields of `UiPreferences` that the user changed on screen."""

    theme: str
    columns: tuple[str, ...]
    sort: str
    reverse: bool
    group: str
    plots: bool
    log: bool
    toured: bool
    lessons: Mapping[str, LessonTaken]


class DashboardContext(RequestChannel, Protocol):
    """The app as screens see it."""

    @property
    def state(self) -> DashboardState: ...
    @property
    def settings(self) -> DashboardSettings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def read_only(self) -> bool:
        """Whether acts are refused; the feed refuses them as well."""
        ...

    @property
    def contexts(self) -> ContextChoice:
        """Contexts of the configuration, and which is in force."""
        ...

    @property
    def preferences(self) -> UiPreferences:
        """What the user chose the last time."""
        ...

    @property
    def player(self) -> Playback | None:
        """What plays, when this is a replay."""
        ...

    @property
    def input_is_recent(self) -> bool:
        """Whether the user pressed a key or moved the mouse a moment ago: every frame is drawn until its
        effect is seen."""
        ...

    selected_row: int | None
    """The row of the fleet that the user is concerned with, on every screen; its number never changes."""

    def switch_context(self, name: str) -> None:
        """Go on with the settings of another context of the file; an empty name is for those of none."""
        ...

    def tell(self, text: str, severity: ToastSeverity = "information") -> None:
        """A toast, for what matters only; any text is safe."""
        ...

    def keep(self, **changes: Unpack[PreferenceChanges]) -> None:
        """Remember what the user chose."""
        ...

    def show_screen(self, name: str) -> None:
        """Bring up the screen of that name in the catalogue."""
        ...

    def show_problem(self) -> None:
        """Bring up the screen that has more of the gravest problem; again, of the next one."""
        ...

    def key_of(self, action: str, default: str) -> str:
        """The key of an action as texts on the screen name it."""
        ...
