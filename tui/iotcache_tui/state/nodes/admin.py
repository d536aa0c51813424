"""The command line that an act on a node sends."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.cluster import admin
from iotcache.errors import UsageError
from iotcache_tui.state.nodes.model import NodeAct


def admin_command(act: NodeAct, values: Sequence[float | str]) -> bytes:
    """The command line of an act. Raises `UsageError` for values that do not fit it."""
    try:
        match act, tuple(values):
            case NodeAct.FLUSH, ():
                return admin.flush_all()
            case NodeAct.MEMORY, (megabytes,):
                return admin.cache_memlimit(int(megabytes))
            case NodeAct.LRU_TUNE, (hot, warm, hot_factor, warm_factor):
                return admin.lru_tune(int(hot), int(warm), float(hot_factor), float(warm_factor))
            case NodeAct.LRU_MODE, (mode,):
                return admin.lru_mode(str(mode))
            case NodeAct.TEMP_TTL, (seconds,):
                return admin.lru_temp_ttl(int(seconds))
            case NodeAct.REASSIGN, (source, target):
                return admin.slabs_reassign(int(source), int(target))
            case NodeAct.VERBOSITY, (level,):
                return admin.verbosity(int(level))
    except (ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
    raise UsageError(f"{act} does not take {', '.join(map(str, values)) or 'no value'}")
