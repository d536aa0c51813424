"""Which function answers which request.

A module of answers is imported when it is first asked for: the Lab's alone costs more than the first frame.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TypeAlias

from iotcache_tui.feed.request_context import LabContext, RequestContext
from iotcache_tui.state.advisor.model import ChangeTtl, RunAdvisor
from iotcache_tui.state.device.model import InspectDevice, ReadAlerts, ReadDocuments, ReadHistory, ReadNow
from iotcache_tui.state.keys.model import ChangeKeys, CountKeys, CrawlKeys, DeleteKey, FetchValue
from iotcache_tui.state.lab import LabDo, LabExport, LabImprovise, LabRun, LoadLabCatalogue
from iotcache_tui.state.nodes.model import ActOnNode, WatchNodes
from iotcache_tui.state.nodes.ring import ResizeRing, UndoResize
from iotcache_tui.state.requests import (
    AcknowledgeAlerts,
    InvalidateSeries,
    Request,
    SlowStore,
    SwitchPart,
    TurnLoad,
    WarmSeries,
)

Answering: TypeAlias = AsyncIterator[object] | Awaitable[object]
"""Gives the answer's value, or several with progress; raises `IotCacheError` in words for the user."""


def answer_lab(request: Request, context: LabContext) -> Answering | None:
    """What answers a request that needs no stack; ``None`` for any other."""
    match request:
        case LoadLabCatalogue() | LabRun() | LabDo() | LabExport() | LabImprovise():
            return _lab(request, context)
    return None


def answer(request: Request, context: RequestContext) -> Answering | None:
    """What answers a request about the stack's servers; ``None`` for one that nothing answers."""
    match request:
        case InspectDevice() | ReadAlerts() | ReadDocuments() | ReadHistory() | ReadNow():
            return _device(request, context)
        case CountKeys() | CrawlKeys() | FetchValue() | DeleteKey() | ChangeKeys():
            return _keys(request, context)
        case WarmSeries() | InvalidateSeries():
            return _series(request, context)
        case WatchNodes() | ActOnNode() | ResizeRing() | UndoResize():
            return _nodes(request, context)
        case SwitchPart() | TurnLoad() | SlowStore():
            return _switches(request, context)
        case RunAdvisor():
            return context.advisor.turn(request.on)
        case ChangeTtl():
            from iotcache_tui.feed.answers import ttls

            return ttls.change(request, context)
        case AcknowledgeAlerts():
            from iotcache_tui.feed.answers import alerts

            return alerts.acknowledge_all(request, context)
    return None


def _lab(
    request: LoadLabCatalogue | LabRun | LabDo | LabExport | LabImprovise, context: LabContext
) -> Answering:
    from iotcache_tui.feed.answers import lab

    match request:
        case LoadLabCatalogue():
            return lab.catalogue_of(request, context)
        case LabRun():
            return lab.run(request, context)
        case LabDo():
            return lab.do(request, context)
        case LabImprovise():
            return lab.improvise(request, context)
        case LabExport():
            return lab.export(request, context)


def _device(
    request: InspectDevice | ReadAlerts | ReadDocuments | ReadHistory | ReadNow, context: RequestContext
) -> Answering:
    from iotcache_tui.feed.answers import device

    match request:
        case InspectDevice():
            return device.inspect(request, context)
        case ReadAlerts():
            return device.alerts(request, context)
        case ReadDocuments():
            return device.documents(request, context)
        case ReadHistory():
            return device.history(request, context)
        case ReadNow():
            return device.read_now(request, context)


def _keys(
    request: CountKeys | CrawlKeys | FetchValue | DeleteKey | ChangeKeys, context: RequestContext
) -> Answering:
    from iotcache_tui.feed.answers import keys

    match request:
        case CountKeys():
            return keys.count(request, context)
        case CrawlKeys():
            return keys.crawl(request, context)
        case FetchValue():
            return keys.fetch(request, context)
        case DeleteKey():
            return keys.delete(request, context)
        case ChangeKeys():
            return keys.change(request, context)


def _series(request: WarmSeries | InvalidateSeries, context: RequestContext) -> Answering:
    from iotcache_tui.feed.answers import series

    match request:
        case WarmSeries():
            return series.warm(request, context)
        case InvalidateSeries():
            return series.invalidate(request, context)


def _nodes(request: WatchNodes | ActOnNode | ResizeRing | UndoResize, context: RequestContext) -> Answering:
    from iotcache_tui.feed.answers import nodes, ring

    match request:
        case ResizeRing():
            return ring.resize(request, context)
        case UndoResize():
            return ring.undo(request, context)
        case WatchNodes():
            return nodes.watch(request, context)
        case ActOnNode():
            return nodes.act(request, context)


def _switches(request: SwitchPart | TurnLoad | SlowStore, context: RequestContext) -> Answering:
    from iotcache_tui.feed.answers import switches

    match request:
        case SwitchPart():
            return switches.switch(request, context)
        case TurnLoad():
            return switches.turn_load(request, context)
        case SlowStore():
            return switches.slow_store(request, context)
