"""How a piece of advice is carried out from here, and taken back."""

from __future__ import annotations

from iotcache.advisor.advice import Advice, Subject
from iotcache_tui.state.nodes.model import ActOnNode, NodeAct


def act_of(one: Advice, *, back: bool = False) -> ActOnNode | None:
    """What to ask a node to do; ``None`` where no command to a running node does it.

    TTLs, weights and what readers do are settings of programs: they are changed where those are started.
    """
    command = (one.undo if back else one.do).split()
    match one.subject, command:
        case Subject.MEMORY, ["cache_memlimit", megabytes]:
            return ActOnNode(one.about, NodeAct.MEMORY, (int(megabytes),))
        case Subject.LRU, ["lru", "mode", mode]:
            return ActOnNode(one.about, NodeAct.LRU_MODE, (mode,))
        case Subject.SLABS, ["slabs", "reassign", source, target]:
            return ActOnNode(one.about, NodeAct.REASSIGN, (int(source), int(target)))
    return None
