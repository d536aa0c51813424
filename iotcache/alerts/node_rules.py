"""Rules about cache nodes: down, and how many of their reads hit. Pure, told the time and the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from iotcache.alerts.rule_state import RuleState, Verdict
from iotcache.config.alert_rules import CLUSTER, AlertRule
from iotcache.model import NodeHealth, NodeState

READS_MIN: Final = 50
"""Of fewer reads than this no ratio is taken."""
RATIO_EVERY_S: Final = 5.0
"""How often whoever judges by these rules asks for the nodes' counters."""


class NodeRules:
    """All rules of the kinds ``node_down`` and ``hit_ratio``."""

    def __init__(
        self, rules: Sequence[AlertRule], stands: Callable[[str, str], bool] = lambda name, subject: False
    ) -> None:
        self._down = [rule for rule in rules if rule.kind == "node_down"]
        self._ratio = [rule for rule in rules if rule.kind == "hit_ratio"]
        self._stands = stands
        self._since: dict[tuple[str, str], float] = {}
        self._rule_states: dict[str, RuleState] = {}
        self._before: dict[str, tuple[int, int]] = {}

    @property
    def wants_ratio(self) -> bool:
        """Whether the nodes' counters are needed."""
        return bool(self._ratio)

    def health(self, nodes: Sequence[NodeHealth], now_s: float) -> list[Verdict]:
        """Judge by the nodes as they stand; one that was taken out by hand is not down."""
        verdicts: list[Verdict] = []
        for rule in self._down:
            for node in nodes:
                if rule.is_for_node(node.name):
                    down = node.state in (NodeState.DOWN, NodeState.PROBING) and not node.drained
                    self._judge(rule, node, down, now_s, verdicts)
        return verdicts

    def _judge(
        self, rule: AlertRule, node: NodeHealth, down: bool, now_s: float, verdicts: list[Verdict]
    ) -> None:
        key = (rule.name, node.name)
        stands = self._stands(*key)
        if not down:
            self._since.pop(key, None)
            if stands and node.state is not NodeState.STARTING:
                verdicts.append(
                    Verdict(rule, node.name, False, text=f"the cache node {node.name} is up again")
                )
            return
        since_s = self._since.setdefault(key, now_s)
        if not stands and now_s - since_s >= rule.for_s:
            text = "" if rule.settings.message or not node.reason else f"{node.name} is down: {node.reason}"
            verdicts.append(Verdict(rule, node.name, True, text=text))

    def ratio(self, stats: Mapping[str, Mapping[str, str]], now_s: float) -> list[Verdict]:
        """Judge by the nodes' own counters since the last time."""
        hits, reads = 0, 0
        counted: dict[str, tuple[int, int]] = {}
        for name, one in stats.items():
            try:
                now = (int(one["get_hits"]), int(one["get_misses"]))
            except (KeyError, ValueError):
                continue
            before = self._before.get(name)
            if before is None or now[0] < before[0] or now[1] < before[1]:  # new, or began anew
                self._before[name] = now
                continue
            counted[name] = now
            hits += now[0] - before[0]
            reads += now[0] - before[0] + now[1] - before[1]
        if reads < READS_MIN:  # they add up until there are enough
            return []
        self._before.update(counted)
        verdicts: list[Verdict] = []
        percent = round(hits / reads * 100.0, 2)
        for rule in self._ratio:
            rule_state = self._rule_states.setdefault(rule.name, RuleState(rule))
            rule_state.raised = self._stands(rule.name, CLUSTER)
            turned = rule_state.note(percent, now_s)
            if turned is not None:
                verdicts.append(Verdict(rule, CLUSTER, turned, percent))
        return verdicts
