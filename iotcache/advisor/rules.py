"""From evidence to ranked advice: a rule is a function of the evidence, and silent about a healthy cache."""

from __future__ import annotations

from itertools import chain

from iotcache.advisor import rules_keys, rules_memory, rules_ttl
from iotcache.advisor.advice import Advice, ranked
from iotcache.advisor.evidence import Evidence

RULES = (
    rules_memory.memory,
    rules_memory.slabs,
    rules_memory.lru,
    rules_memory.nodes,
    rules_ttl.ttl,
    rules_ttl.jitter,
    rules_keys.hot_keys,
    rules_keys.weights,
    rules_keys.item_sizes,
    rules_keys.unread_writes,
    rules_keys.compressible,
)


def advise(evidence: Evidence) -> list[Advice]:
    """All advice that the evidence bears, the most useful first."""
    found = chain.from_iterable(rule(evidence) for rule in RULES)
    return ranked(found, evidence.gets_per_s, evidence.memory_bytes)
