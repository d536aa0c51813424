"""What became of configurations and commands that were pushed to a fleet's devices."""

from __future__ import annotations

from msgspec import Struct

from iotcache_simulator.report.figures import Percentiles


class ListeningReport(Struct, frozen=True, kw_only=True):
    """Counts of pushes, and how long they took."""

    subscriptions: int
    """Topic filters that the broker granted, on all connections; likewise below."""
    subscriptions_refused: int
    configurations: int = 0
    """Configurations received that were newer than what the device had."""
    applied: int = 0
    """Of these, those that hold since, in full."""
    half_applied: int = 0
    """Those that a fault let hold by half."""
    commands: int = 0
    """Commands received."""
    done: int = 0
    """Of these, those that were carried out."""
    ignored: int = 0
    """Configurations and commands that a fault passed over."""
    rejected: int = 0
    """Those that could not be followed; the device says why."""
    outdated: int = 0
    """Configurations of an older version than the device has, or overtaken by a newer one."""
    reported: int = 0
    """Answers that devices gave."""
    apply_ms: Percentiles | None = None
    """From the push to the moment from which it holds; ``None`` when there was none."""
    report_ms: Percentiles | None = None
    """From the push to the device's answer."""
