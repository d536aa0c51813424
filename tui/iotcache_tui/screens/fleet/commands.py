"""Acts on series as every screen offers them: asked for, confirmed where they take away, told about after."""

from __future__ import annotations

from collections.abc import Callable

from iotcache.model import Read, Series, Source
from iotcache_tui.format import duration, milliseconds, number
from iotcache_tui.screens.context import DashboardContext
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.state.device.model import ReadNow
from iotcache_tui.state.requests import READ_ONLY, ActionProgress, Answer, InvalidateSeries, WarmSeries

After = Callable[[], None]


def may_act(context: DashboardContext) -> bool:
    """Whether acts are allowed; says so when they are not."""
    if context.read_only:
        context.tell(READ_ONLY, "warning")
    return not context.read_only


def read_now(context: DashboardContext, series: Series, after: After) -> None:
    """Read one series through the cache, and say how that went."""

    def on_answer(answer: Answer) -> None:
        if answer.error:
            context.tell(answer.error, "error")
        elif isinstance(answer.value, Read):
            context.tell(_read_text(answer.value), "warning" if answer.value.error else "information")
            after()

    context.ask(ReadNow(series), on_answer)


def _read_text(read: Read) -> str:
    if read.source is Source.NONE:
        return f"{read.device}:{read.sensor}: {read.error or 'nothing is known of it'}"
    shown = str(read.value) if isinstance(read.value, str | bool) else number(read.value or 0)
    why = f" ({read.miss_reason.value.replace('_', ' ')})" if read.miss_reason else ""
    ttl = f", {duration(read.ttl_s)} left" if read.ttl_s is not None else ""
    value = f"{shown} {read.unit}".strip()
    return (
        f"{read.sensor} {value} from the {read.source.value}{why} in {milliseconds(read.latency_ms)} ms{ttl}"
    )


def warm(context: DashboardContext, series: tuple[Series, ...], after: After) -> None:
    """Put back from the store what is missing in the cache."""
    if may_act(context):
        _act(context, "warm", WarmSeries(series), "put back", after)


def invalidate(screen: ViewScreen, name: str, series: tuple[Series, ...], after: After) -> None:
    """Delete the entries of ``name``, once the user has confirmed it."""
    context = screen.context
    if not may_act(context):
        return

    def decided(yes: bool | None) -> None:
        if yes:
            _act(context, "invalidate", InvalidateSeries(series), "deleted", after)

    screen.app.push_screen(
        ConfirmScreen(
            f"Invalidate {name}?",
            f"The newest reading of {name} will be deleted from the cache nodes. "
            "The store keeps its readings: the next read goes there.",
            yes="Invalidate",
        ),
        decided,
    )


def _act(
    context: DashboardContext,
    name: str,
    request: WarmSeries | InvalidateSeries,
    done_text: str,
    after: After,
) -> None:
    progress = ActionProgress(0, 0, 0)

    def on_answer(answer: Answer) -> None:
        nonlocal progress
        if answer.error:
            context.tell(f"{name}: {answer.error}", "error")
        elif isinstance(answer.value, ActionProgress):
            progress = answer.value
        elif progress.total:
            text = f"{name}: {progress.changed:,} of {progress.total:,} {done_text}"
            if isinstance(request, WarmSeries) and not progress.changed and not progress.failed:
                held = "it is" if progress.total == 1 else f"all {progress.total:,} are"
                text = f"{name}: nothing to do, {held} in the cache"
            text += f", {progress.failed:,} not: {progress.why}" if progress.failed else ""
            context.tell(text, "warning" if progress.failed else "information")
            after()

    context.ask(request, on_answer)
