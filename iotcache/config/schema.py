"""Every setting as a typed, frozen struct. ``config.toml`` documents each key; the defaults are these."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from iotcache.config.urls import mask
from iotcache.decode.mapping.settings import FieldPaths, IngestMapping
from iotcache.ttl import TtlPolicy

Switch = bool | Literal["auto"]
"""On, off, or whatever fits: "auto" is on when the service it belongs to is embedded."""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Common behaviour of the sections: immutable, and no key passes unnoticed, and no secret is shown."""

    def __repr__(self) -> str:
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in ("password", "token", "webhook") and value:
                value = "***"
            shown.append(f"{name}={mask(value) if isinstance(value, str) else value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class BrokerSettings(Section, frozen=True):
    url: str = "embedded"
    """ "embedded", "none", ``mqtt://[user[:password]@]host[:port]``, ``mqtts://…``, ``ws://…[/path]`` or ``wss://…``."""
    username: str = ""
    password: str = ""
    password_file: str = ""
    protocol: Literal["3.1.1", "5", "auto"] = "3.1.1"
    keepalive_s: Annotated[int, Meta(ge=1, le=65_535)] = 30
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""


class BreakerSettings(Section, frozen=True):
    failures: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """Failures in a row that open a node's circuit breaker; a connection refused opens it at once."""
    open_min_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 0.5
    open_max_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 15.0


class CacheSettings(Section, frozen=True):
    nodes: str | tuple[str, ...] = "embedded:3"
    """ "embedded:N", "none", a list of ``host:port``, ``host:port=weight`` and socket paths, or the URL of a
    place that keeps one (`iotcache.config.node_lists`)."""
    embedded_server: Literal["auto", "memcached", "bundled"] = "auto"
    """Which program embedded nodes are: memcached when it is on PATH, else the bundled Python node."""
    embedded_memory_mb: Annotated[int, Meta(ge=1, le=65_536)] = 64
    prefix: str = ""
    placement: Literal["ketama", "rendezvous"] = "ketama"
    connect_timeout_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    operation_timeout_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    compress_min_bytes: Annotated[int, Meta(ge=0, le=1_000_000)] = 400
    max_value_bytes: Annotated[int, Meta(ge=1_000, le=128_000_000)] = 1_000_000
    bucket_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    store_reads_per_s: Annotated[int, Meta(ge=1, le=10_000_000)] = 2_000
    """Most store reads a second on behalf of keys whose node is out."""
    stampede_lease: bool = True
    """One reader among all processes loads what is missing. While it does, the key holds an empty item."""
    failover: bool = True
    """The next node on the ring stands in for one that is out; else its keys are read from the store."""
    hot_replicas: Annotated[int, Meta(ge=0, le=16)] = 0
    """Keys that are read more than a node's fair share are kept on so many nodes; 0 and 1: on their owners
    alone."""
    username: str = ""
    password: str = ""
    password_file: str = ""
    tls: bool = False
    tls_ca_file: str = ""
    ttl: TtlPolicy = field(default_factory=TtlPolicy)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class StoreSettings(Section, frozen=True):
    url: str = "embedded"
    """ "embedded" (SQLite in a folder that goes with the program), "none", ``sqlite:///file``, ``postgresql://…``."""
    password: str = ""
    password_file: str = ""
    busy_timeout_s: Annotated[float, Meta(ge=0, le=600)] = 5.0
    retention_days: Annotated[float, Meta(gt=0)] = 30.0


class IngestSettings(Section, frozen=True):
    enabled: Switch = "auto"
    """Whether the dashboard's stack runs an ingest worker; "auto": when all of broker, nodes and store are
    embedded."""
    topics: tuple[str, ...] = ("iot/{site}/{device}/{sensor}",)
    client_id: str = "iotcache-ingest"
    """The persistent session's name: one worker, one name."""
    group: str = ""
    """Workers of one group share the load (MQTT shared subscription)."""
    qos: Literal[0, 1] = 1
    batch_max: Annotated[int, Meta(ge=1, le=100_000)] = 500
    linger_ms: Annotated[int, Meta(ge=0, le=60_000)] = 20
    """Longest wait for a batch to fill; the broker stops at its in-flight window, so it must be short."""
    sparkplug_device: Literal["group/node/device", "node/device", "device"] = "group/node/device"
    """Of which parts of its topic a Sparkplug device's name is made."""
    sparkplug_rebirth: bool = True
    """Whether edge nodes are asked for their births when data cannot be read without, or is missing."""
    sparkplug_reorder_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    """How long a message that is missing may come late before the births are asked for."""
    sparkplug_host_id: str = ""
    """As which host application the worker tells edge nodes that it is there; none when empty."""
    fields: FieldPaths = field(default_factory=FieldPaths)
    """Where a payload on `topics` keeps what a reading needs."""
    preset: str | tuple[str, ...] = ()
    """Names of mappings that come with the program; see `iotcache.config.presets`."""
    mapping: tuple[IngestMapping, ...] = ()
    """How messages of fleets that do not write the default payload are read; tried before the presets'."""


class OnboardingSettings(Section, frozen=True):
    warm: bool = True
    """Whether a device seen for the first time since a worker's start has its cache entries filled."""
    queue: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    """Most devices that wait for it; more are left to their first reads."""
    warm_per_s: Annotated[int, Meta(ge=1, le=10_000_000)] = 2_000
    """Most entries looked at in a second on their behalf."""
    forget_every_s: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    """How often the entries of devices out of service are removed again."""


class AggregatesSettings(Section, frozen=True):
    enabled: bool = True
    late_s: Annotated[float, Meta(ge=0, le=60)] = 30.0
    """A window takes late readings until this long after its end."""


class AlertRuleSettings(Section, frozen=True):
    """One rule of ``[[alerts]]``; see `iotcache.config.alert_rules`."""

    name: str
    kind: Literal["threshold", "rate", "silent", "hit_ratio", "node_down"]
    site: str = "*"
    """Patterns with ``*``, ``?`` and ``[…]``, of whole names, upper and lower case told apart."""
    device: str = "*"
    sensor: str = "*"
    node: str = "*"
    above: float | None = None
    below: float | None = None
    hysteresis: float = 0.0
    """How far back inside a limit a value must be for the alert to be cleared."""
    per_s: float = 60.0
    """A rate is the change within this time."""
    for_s: float = 0.0
    """How long it must hold before it is raised; for "silent" how long nothing was heard, 0 for three of the
    sensor's own intervals."""
    severity: Literal["info", "warning", "error"] = "warning"
    message: str = ""


class AlertingSettings(Section, frozen=True):
    webhook: str = ""
    """``http://`` or ``https://`` URL that each change of an alert is posted to. May hold a secret."""
    webhook_file: str = ""
    webhook_timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0


class HttpSettings(Section, frozen=True):
    enabled: Switch = "auto"
    """Whether the ingest worker opens the HTTP gateway; "auto": in ``iotcache-tui stack`` only."""
    listen: str = "127.0.0.1:0"
    """Port 0 takes a free one."""
    token: str = ""
    token_file: str = ""


class SimulatorSettings(Section, frozen=True):
    enabled: Switch = "auto"
    """Whether the dashboard's stack runs a fleet; "auto": when broker, nodes and store are embedded."""
    devices: Annotated[int, Meta(ge=1, le=1_000_000)] = 120
    rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Messages a second of the whole fleet; 0: each sensor at its class's own interval."""
    reads_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 100.0
    """Reads a second through the cache by readers beside the embedded servers; 0: none."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    qos: Literal[0, 1] = 1
    control: Switch = "auto"
    """Whether the fleet follows messages that turn faults and load; "auto": when the broker is embedded."""
    lives: Switch = "auto"
    """Whether devices tell their birth, configuration and death; "auto": a small fleet, embedded broker."""
    dropouts: Switch = "auto"
    """Whether three devices fall silent early on; "auto": when broker, nodes and store are embedded."""


class DashboardSettings(Section, frozen=True):
    frame_hz: Annotated[int, Meta(ge=1, le=10)] = 4
    """Screen updates a second, 1 to 10."""
    reads_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Most reads a second that the dashboard itself makes through the cache."""
    read_interval_s: Annotated[float, Meta(ge=0.1, le=3_600)] = 1.0
    """How often each series is read, when the budget above allows."""
    observe: Switch = "auto"
    """Whether the dashboard's reads leave the cache as it is: no entry is put back, no lease taken, no item
    made younger; "auto": yes."""
    advisor: Switch = "auto"
    """Whether the nodes' requests are looked at from the start; "auto": where the nodes are embedded."""
    history_s: Annotated[int, Meta(ge=60, le=900)] = 300
    """How far back the plots look."""
    theme: str = "iotcache-dark"
    ascii: bool = False
    reduced_motion: bool = False
    time_zone: str = "local"
    """ "local", "UTC" or a name such as Europe/Berlin: what clocks on the screen show."""
    units: Literal["as sent", "metric", "imperial"] = "as sent"
    """What values on the fleet are converted to for showing."""
    read_only: Switch = "auto"
    """Whether acts that change something are out of reach; "auto": unless the nodes are embedded."""
    tour: bool = True
    """Whether a new user is led through the demo once."""
    keys: dict[str, str] = field(default_factory=dict)
    """Acts' ids, and the keys that the user wants them on; see `iotcache_tui.keymap`."""


class LogSettings(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "warning"
    file: str = ""


class Settings(Section, frozen=True):
    """One whole, validated configuration."""

    broker: BrokerSettings = field(default_factory=BrokerSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    onboarding: OnboardingSettings = field(default_factory=OnboardingSettings)
    aggregates: AggregatesSettings = field(default_factory=AggregatesSettings)
    alerting: AlertingSettings = field(default_factory=AlertingSettings)
    alerts: tuple[AlertRuleSettings, ...] = (
        AlertRuleSettings(name="node-down", kind="node_down", for_s=5.0, severity="error"),
    )
    http: HttpSettings = field(default_factory=HttpSettings)
    simulator: SimulatorSettings = field(default_factory=SimulatorSettings)
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)
    log: LogSettings = field(default_factory=LogSettings)
