"""What the device screen asks of the feed while it is shown, and where the answers go."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from iotcache.model import Series
from iotcache_tui.screens.polled_query import PolledQuery
from iotcache_tui.state.device.model import (
    AlertView,
    Curve,
    DeviceAlerts,
    DeviceDocuments,
    DeviceKeys,
    History,
    InspectDevice,
    KeyFacts,
    ReadAlerts,
    ReadDocuments,
    ReadHistory,
)
from iotcache_tui.state.keys.model import CachedValue, FetchValue
from iotcache_tui.state.requests import Answer, RequestChannel
from iotcache_tui.widgets.device.device_keys import DeviceKeyTable
from iotcache_tui.widgets.device.documents_view import DocumentsView
from iotcache_tui.widgets.keys.value_view import ValueView

KEYS_EVERY_S = 1.0
DOCUMENTS_EVERY_S = 15.0
ALERTS_EVERY_S = 5.0
HISTORY_EVERY_S = 20.0
VALUE_LEAST_S = 2.0
"""A value is read again when a new reading came, but not more often."""
HISTORY_POINTS = 400


class DeviceQueries:
    """Five standing questions: keys, documents, alerts, history, and the value of one key."""

    def __init__(
        self,
        channel: RequestChannel,
        *,
        curve: Curve,
        keys: DeviceKeyTable,
        documents: DocumentsView,
        value: ValueView,
    ) -> None:
        self._curve, self._keys, self._documents, self._value = curve, keys, documents, value
        self.message = ""
        """What to say in place of a curve."""
        self.alerts: tuple[AlertView, ...] = ()
        """Those that stand."""
        self._answer: DeviceDocuments | None = None
        self._documents_message = ""
        self.selected_key = ""
        """The key whose value is shown; empty: the newest reading of the chosen sensor."""
        self._key_asks = PolledQuery(channel, self._take_keys, every_s=KEYS_EVERY_S)
        self._document_asks = PolledQuery(channel, self._take_documents, every_s=DOCUMENTS_EVERY_S)
        self._alert_asks = PolledQuery(channel, self._take_alerts, every_s=ALERTS_EVERY_S)
        self._history_asks = PolledQuery(channel, self._take_history, every_s=HISTORY_EVERY_S)
        self._value_asks = PolledQuery(channel, self._take_value, every_s=inf, least_s=VALUE_LEAST_S)

    def poll(self, now_s: float, series: Series, sensors: Iterable[str], span_s: float) -> None:
        """Ask what is due. Called once a frame."""
        self._key_asks.poll(now_s, InspectDevice(series.device, tuple(sorted(sensors))))
        self._document_asks.poll(now_s, ReadDocuments(series.device))
        self._alert_asks.poll(now_s, ReadAlerts(series.device))
        self._history_asks.poll(now_s, ReadHistory(series, span_s, HISTORY_POINTS))
        key = self._value_key(series)
        if key is not None and key.present:
            self._value_asks.poll(now_s, FetchValue(key.key.encode("ascii"), key.node))
        else:
            self._value_asks.poll(now_s, None)
            if key is not None:
                self._value.show(None, f"{key.key}\n{key.failure or 'not in the cache'}")

    def stop(self) -> None:
        """Wait for nothing: the screen is not shown."""
        for asks in (
            self._key_asks,
            self._document_asks,
            self._alert_asks,
            self._history_asks,
            self._value_asks,
        ):
            asks.stop()

    def changed(self) -> None:
        """Something was done to the keys."""
        self._key_asks.again()
        self._value_asks.again()

    def moved_on(self) -> None:
        """A new reading came in."""
        self._value_asks.again()

    def new_device(self) -> None:
        """Nothing that is on show is true any more."""
        self._keys.selected = None
        self._keys.take(None, "asking the nodes …")
        self.alerts, self._answer, self._documents_message = (), None, "reading …"
        self._show_documents()

    def new_curve(self, series: Series) -> None:
        """Another sensor or another span."""
        self._curve.clear(series)
        self.message = "reading the store …"

    def new_sensor(self, series: Series) -> None:
        """Another curve, and another value."""
        self.new_curve(series)
        self.selected_key = ""
        self._value.show(None, "")

    def _value_key(self, series: Series) -> KeyFacts | None:
        for key in self._keys.keys:
            newest = key.kind == "latest" and key.sensor == series.sensor
            if key.key == self.selected_key or (newest and not self.selected_key):
                return key
        return None

    # Answers

    def _take_keys(self, answer: Answer) -> None:
        if answer.error:
            self._keys.take(None, answer.error)
        elif isinstance(answer.value, DeviceKeys):
            self._keys.take(answer.value)

    def _show_documents(self) -> None:
        self._documents.show(self._answer, self.alerts, self._documents_message, self._keys.moment.nodes)

    def _take_documents(self, answer: Answer) -> None:
        if answer.error:
            self._answer, self._documents_message = None, answer.error
        elif isinstance(answer.value, DeviceDocuments):
            self._answer, self._documents_message = answer.value, ""
        self._show_documents()

    def _take_alerts(self, answer: Answer) -> None:
        if isinstance(answer.value, DeviceAlerts):
            self.alerts = answer.value.alerts
            self._show_documents()

    def _take_history(self, answer: Answer) -> None:
        self.message = answer.error
        if isinstance(answer.value, History):
            self._curve.take(answer.value)

    def _take_value(self, answer: Answer) -> None:
        if answer.error:
            self._value.show(None, answer.error)
        elif isinstance(answer.value, CachedValue):
            there = answer.value.found
            self._value.show(answer.value if there else None, "" if there else "it has just gone")
