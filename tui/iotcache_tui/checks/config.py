"""What can be said of a configuration that loads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from iotcache.config import LoadedSettings
from iotcache.config.fields import SECRETS
from iotcache.config.load import COMMANDED, ENVIRONMENT, FLAG, SECRET_FILES
from iotcache.config.parts import absent_parts, named_parts, observes, without_idle_parts, writers
from iotcache.config.schema import Settings
from iotcache_tui.checks.base import Finding


def check_config(loaded: LoadedSettings) -> list[Finding]:
    """Where it came from, and whether other users of this machine can read its secrets."""
    set_by = [origin for origin in loaded.origins.values() if origin != "default"]
    source = (
        f"{len(set_by)} setting{'s' if len(set_by) != 1 else ''} from {_sources(loaded, set_by)}"
        if set_by
        else "all defaults"
    )
    if not loaded.file:
        source += "; no file found"
    findings = [Finding("config", "ok", source)]
    for file in _secret_holders(loaded):
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if os.name == "posix" and mode & stat.S_IROTH and stat.S_ISREG(mode):
            found = f"{file} holds a secret, and every user of this machine can read it"
            findings.append(Finding("config", "warn", found, f"chmod 600 {file}"))
    return findings


def check_starts(settings: Settings) -> Finding:
    """What ``iotcache-tui`` would start, and where that would write."""
    settings = without_idle_parts(settings)
    named, absent, starting = named_parts(settings), absent_parts(settings), writers(settings)
    servers = [
        name
        for key, name in (("broker.url", "broker"), ("cache.nodes", "cache nodes"), ("store.url", "store"))
        if key not in named and key not in absent
    ]
    ours = [
        *servers,
        *(["ingest worker"] if starting.ingest else []),
        *(["fleet"] if starting.simulator else []),
        *(["readers"] if starting.readers else []),
    ]
    text = f"the dashboard starts {', '.join(ours) if ours else 'nothing'}"
    if not named:
        return Finding("starts", "ok", f"{text}, all embedded")
    # A fleet writes to the broker, a worker to the store and the nodes.
    written = [key for key in named if (starting.simulator if key == "broker.url" else starting.ingest)]
    if written:
        mend = 'set ingest.enabled and simulator.enabled to "auto" if they are not to write there'
        return Finding("starts", "warn", f"{text}, which write to {' and '.join(written)}", mend)
    if observes(settings):
        return Finding("starts", "ok", f"{text} and only looks at {' and '.join(named)}")
    return Finding("starts", "warn", f"{text}, and puts missing entries back", 'dashboard.observe = "auto"')


def _sources(loaded: LoadedSettings, origins: list[str]) -> str:
    kinds = [
        (str(loaded.file), any(not origin.startswith(COMMANDED) for origin in origins)),
        ("the environment", any(origin.startswith(ENVIRONMENT) for origin in origins)),
        ("flags", any(origin.startswith(FLAG) for origin in origins)),
    ]
    return ", ".join(name for name, there in kinds if there)


def _secret_holders(loaded: LoadedSettings) -> list[Path]:
    holders = []
    for key in (*SECRETS, "store.url"):
        section, _, name = key.partition(".")
        value = getattr(getattr(loaded.settings, section), name)
        holds = value and (key in SECRETS or _with_password(value))
        if holds and loaded.file is not None and loaded.origins[key] == str(loaded.file):
            holders.append(loaded.file)
    for key in SECRET_FILES:
        section, _, name = key.partition(".")
        value = getattr(getattr(loaded.settings, section), name)
        if value:
            holders.append(Path(value).expanduser())
    return list(dict.fromkeys(holders))


def _with_password(url: str) -> bool:
    from iotcache.config.urls import mask

    return mask(url) != url
