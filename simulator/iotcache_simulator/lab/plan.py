"""What a scenario's file means for its servers and readers: settings, policies, arms; nothing is started."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from iotcache.config.schema import Settings, SimulatorSettings, StoreSettings
from iotcache.store.base import Store
from iotcache_simulator.lab.application import ArmPolicy
from iotcache_simulator.lab.arm import Arm
from iotcache_simulator.lab.definition.actions import Pause, Policy
from iotcache_simulator.lab.definition.scenario import Scenario
from iotcache_simulator.lab.slow_store import StoreConnections
from iotcache_simulator.readers.workload import ReadSpec

SEED: Final = 7
_IN_FLIGHT: Final = 200
"""Requests that the readers have under way at a time."""
_PATIENCE_S: Final = 3.0
"""How long a node may take where the scenario lets none hang: on a busy machine all of them are late, and
what would be seen is nodes that go out one after the other."""


class ScenarioPlan:
    """One scenario; ``forced`` overrules each of its policies, at whatever time."""

    def __init__(self, scenario: Scenario, settings: Settings, forced: Policy | None = None) -> None:
        """Of ``settings`` only which program embedded nodes are, and the log, are used."""
        self.scenario = scenario
        self.settings = _stack_settings(scenario, settings)
        self._forced = forced

    def policy_of(
        self, name: str, before: ArmPolicy | None = None, change: Policy | None = None
    ) -> ArmPolicy:
        """An arm's policy: as the scenario begins, or ``before`` with a change; what is forced wins."""
        spec = self.scenario.stack
        policy = before or ArmPolicy(
            spec.ttl_s, spec.config_ttl_s, spec.jitter, spec.lease, spec.failover, spec.placement,
            spec.negative_ttl_s, spec.refresh_s, spec.near_s, spec.copies, spec.writing, spec.value_bytes,
            spec.hand_over,
        )  # fmt: skip
        own = [arm for arm in self.scenario.arms if arm.name == name] if before is None else []
        for layer in (*own, change, self._forced):
            if layer is None:
                continue
            known = {
                field: getattr(layer, field)
                for field in ArmPolicy.__struct_fields__
                if getattr(layer, field, None) is not None
            }
            policy = structs.replace(policy, **known)
        return policy

    def arms(self, settings: Settings, store: Store) -> list[Arm]:
        """The arms over the servers that ``settings`` name, not reading yet."""
        spec = self.scenario.stack
        names = self.scenario.arm_names or ("",)
        clients = {one.name: one.clients for one in self.scenario.arms}
        # One database, however many sides: its connections are shared.
        shared = (
            StoreConnections(spec.store_connections, spec.store_queue) if spec.store_connections else None
        )
        return [
            Arm(
                name,
                settings,
                store,
                prefix="" if spec.ingest_writes else f"{name or 'r'}:",
                policy=self.policy_of(name),
                clients=clients.get(name) or spec.clients,
                seed=SEED,
                connections=shared,
                unknown_percent=spec.unknown_percent,
                writes_per_s=spec.writes_per_s,
            )
            for name in names
        ]

    @property
    def reads(self) -> ReadSpec:
        """How much is read when the scenario begins."""
        spec = self.scenario.stack
        return ReadSpec(rate=spec.reads_per_s, batch=spec.batch, in_flight=_IN_FLIGHT)


def _stack_settings(scenario: Scenario, settings: Settings) -> Settings:
    spec = scenario.stack
    plain = Settings()
    hangs = any(isinstance(action, Pause) for step in scenario.step for action in step.do)
    patience_s = plain.cache.operation_timeout_s if hangs else _PATIENCE_S
    ttl = structs.replace(plain.cache.ttl, jitter=spec.jitter)
    if spec.ttl_s is not None:
        ttl = structs.replace(ttl, volatile_min_s=spec.ttl_s, volatile_max_s=spec.ttl_s)
    cache = structs.replace(
        plain.cache,
        nodes=f"embedded:{spec.nodes + spec.spares}",
        embedded_server="memcached" if spec.memcached else settings.cache.embedded_server,
        embedded_memory_mb=spec.memory_mb,
        connect_timeout_s=patience_s,
        operation_timeout_s=patience_s,
        ttl=ttl,
        # The writer's own entries are out of the readers' way where a scenario wants it so.
        prefix="" if spec.ingest_writes else "w:",
    )
    return structs.replace(
        plain,
        cache=cache,
        store=StoreSettings(),
        http=structs.replace(plain.http, enabled=False),
        # Aggregates grow into further slab classes at the turn of a minute, and each takes one of a small
        # node's few pages: by chance. No lesson reads them.
        aggregates=structs.replace(plain.aggregates, enabled=spec.ingest_writes),
        # A scenario's documents are its own: none but those it pushes.
        simulator=SimulatorSettings(
            devices=spec.devices, rate=spec.messages_per_s, seed=SEED, lives=False, dropouts=False
        ),
        log=settings.log,
    )
