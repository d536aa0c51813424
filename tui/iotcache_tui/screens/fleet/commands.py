"""Acts on series as every screen offers them: asked for, confirmed where they take away, told about after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iotcache.model import Read, Series, Source
from iotcache_tui.feed.dispatcher import READ_ONLY
from iotcache_tui.format import duration, milliseconds, number
from iotcache_tui.screens.dialogs.confirm import ConfirmScreen
from iotcache_tui.state.device.model import ReadNow
from iotcache_tui.state.request import Answer
from iotcache_tui.state.requests import ActionProgress, InvalidateSeries, WarmSeries

if TYPE_CHECKING:
    from iotcache_tui.app import IotCacheApp

After = Callable[[], None]


def may_act(app: IotCacheApp) -> bool:
    """Whether acts are in reach; says so when they are not."""
    if app.read_only:
        app.tell(READ_ONLY, "warning")
    return not app.read_only


def read_now(app: IotCacheApp, series: Series, after: After) -> None:
    """Read one series through the cache, and say how that went."""

    def heard(answer: Answer) -> None:
        if answer.error:
            app.tell(answer.error, "error")
        elif isinstance(answer.value, Read):
            app.tell(_read_words(answer.value), "warning" if answer.value.error else "information")
            after()

    app.ask(ReadNow(series), heard)


def _read_words(read: Read) -> str:
    if read.source is Source.NONE:
        return f"{read.device}:{read.sensor}: {read.error or 'nothing is known of it'}"
    shown = str(read.value) if isinstance(read.value, str | bool) else number(read.value or 0)
    why = f" ({read.miss_reason.value.replace('_', ' ')})" if read.miss_reason else ""
    life = f", {duration(read.ttl_s)} left" if read.ttl_s is not None else ""
    value = f"{shown} {read.unit}".strip()
    return (
        f"{read.sensor} {value} from the {read.source.value}{why} in {milliseconds(read.latency_ms)} ms{life}"
    )


def warm(app: IotCacheApp, series: tuple[Series, ...], after: After) -> None:
    """Put back from the store what is missing in the cache."""
    if may_act(app):
        _act(app, "warm", WarmSeries(series), "put back", after)


def invalidate(app: IotCacheApp, name: str, series: tuple[Series, ...], after: After) -> None:
    """Delete the entries of ``name``, once somebody said yes."""
    if not may_act(app):
        return

    def decided(yes: bool | None) -> None:
        if yes:
            _act(app, "invalidate", InvalidateSeries(series), "deleted", after)

    app.push_screen(
        ConfirmScreen(
            f"Invalidate {name}?",
            f"The newest reading of {name} will be deleted from the cache nodes. "
            "The store keeps its readings: the next read goes there.",
            yes="Invalidate",
        ),
        decided,
    )


def _act(
    app: IotCacheApp, name: str, request: WarmSeries | InvalidateSeries, done_word: str, after: After
) -> None:
    last: list[ActionProgress] = []

    def heard(answer: Answer) -> None:
        if answer.error:
            app.tell(f"{name}: {answer.error}", "error")
        elif isinstance(answer.value, ActionProgress):
            last[:] = [answer.value]
        elif last:
            one = last[0]
            text = f"{name}: {one.changed:,} of {one.total:,} {done_word}"
            text += f", {one.failed:,} not: {one.why}" if one.failed else ""
            app.tell(text, "warning" if one.failed else "information")
            after()

    app.ask(request, heard)
