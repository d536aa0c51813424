"""What a screen cannot show because a part is "none", in words for the place where it would stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotcache_tui.state.updates import Attachment

_WHAT = {"broker.url": "no broker", "cache.nodes": "no cache node", "store.url": "no store"}


def missing_parts(attachment: Attachment) -> str:
    """``no broker and no store``; empty where every part is there."""
    return " and ".join(_WHAT[key] for key in attachment.absent if key in _WHAT)


def fleet_missing(attachment: Attachment) -> str:
    """Why the fleet is empty; empty while there is something to wait for."""
    if "store.url" in attachment.absent:
        works = (
            "Nodes, Keys and Events work for the keys of any application"
            if "cache.nodes" not in attachment.absent
            else "Flow and Events show what the workers tell"
        )
        return (
            f"the list of devices comes from a store, and {missing_parts(attachment)} is named\n"
            f"name one in store.url to see its fleet here; {works}"
        )
    return ""


def nodes_missing(attachment: Attachment) -> str:
    """Why there is no node and no key to show; empty where there are nodes."""
    if "cache.nodes" not in attachment.absent:
        return ""
    return 'there are no cache nodes: cache.nodes is "none", or was not named beside other servers'


def processes_missing(attachment: Attachment) -> str:
    """Why neither worker nor simulator can be heard; empty where there is a broker."""
    return "none can be heard: there is no broker" if "broker.url" in attachment.absent else ""


def own_load(looks_per_s: float, writes_per_s: float, width: int) -> str:
    """What this dashboard itself does to the cache, in at most ``width`` cells; empty for too few."""
    looks, writes = f"{looks_per_s:,.0f}", f"{writes_per_s:,.0f}"
    forms = (
        f"this dashboard: {looks} looks/s, {writes} writes/s",
        f"{looks} looks/s, {writes} writes/s",
        f"{looks} looks {writes} sets",
        f"{looks}/s {writes} sets",
        f"{looks}+{writes}/s",
    )
    return next((form for form in forms if len(form) <= width), "")
