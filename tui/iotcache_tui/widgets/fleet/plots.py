"""The last minutes as a line: redrawn when its data or size changed, at most once a second."""

from __future__ import annotations

from collections.abc import Sequence

from textual.color import Color
from textual_plotext import PlotextPlot


class MinutePlot(PlotextPlot):
    """One figure, a point a second, over the last ``span_s`` seconds."""

    DEFAULT_CSS = """
    MinutePlot { background: $surface; height: 1fr; width: 1fr; }
    """

    def __init__(
        self,
        title: str,
        colour: str,
        *,
        span_s: int,
        share: bool = False,
        ascii_only: bool = False,
        id: str,
    ) -> None:
        super().__init__(id=id)
        self.plot_title = title
        self._colour = colour
        self._span_s = span_s
        self._share = share
        self._marker = "dot" if ascii_only else "braille"
        self._values: tuple[float | None, ...] = ()

    def show(self, values: Sequence[float | None]) -> None:
        """``values`` are one a second, the newest last; ``None`` leaves a gap."""
        shown = tuple(values[-self._span_s :])
        if shown != self._values:
            self._values = shown
            self.refresh()

    def render(self) -> object:  # type: ignore[override]
        plt = self.plt
        plt.clear_figure()
        red, green, blue = Color.parse(self.app.theme_variables[self._colour]).rgb
        for xs, ys in self._runs():
            plt.plot(xs, ys, marker=self._marker, color=(red, green, blue))
        plt.title(self.plot_title)
        plt.xlim(-self._span_s, 0)
        step = self._span_s // (5 if self.size.width >= 50 else 2)
        ticks = [float(tick) for tick in range(-self._span_s, 1, step)]
        plt.xticks(ticks, [f"{tick / 60:g}m" if tick else "now" for tick in ticks])
        low, top = self._limits()
        plt.ylim(low, top)
        marks = [low, (low + top) / 2, top] if self.size.height >= 6 else [low, top]
        plt.yticks(marks, [f"{mark:g}" for mark in marks])
        return super().render()

    def _runs(self) -> list[tuple[list[int], list[float]]]:
        runs: list[tuple[list[int], list[float]]] = []
        start = 1 - len(self._values)
        open_run = False
        for offset, value in enumerate(self._values):
            if value is None:
                open_run = False
                continue
            if not open_run:
                runs.append(([], []))
                open_run = True
            runs[-1][0].append(start + offset)
            runs[-1][1].append(value)
        return runs

    def _limits(self) -> tuple[float, float]:
        """Round ends of the scale, from few choices, so that it moves seldom."""
        known = [value for value in self._values if value is not None]
        if self._share:
            least = min(known, default=100.0)
            return next(low for low in (90.0, 80.0, 50.0, 0.0) if least >= low), 100.0
        wanted = max(max(known, default=0.0) * 1.05, 2.0)
        top = 1.0
        while True:
            for factor in (1, 2, 5):
                if top * factor >= wanted:
                    return 0.0, top * factor
            top *= 10
