"""Whose file it is: a configuration found by chance must be the user's own, as git's ``safe.directory``.

A file may name a server and the file of a password that is sent to it. In a folder that others write to,
somebody else's file would make us send a secret of ours to a server of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from iotcache.errors import ConfigError
from iotcache.text import printable

SAFE_CONFIG = "IOTCACHE_SAFE_CONFIG"
"""Variable with folders, as in PATH, whose ``config.toml`` may be another user's; ``*``: any folder."""


def require_own(file: Path, environ: Mapping[str, str]) -> None:
    """Raise `ConfigError` where the file, or the link that leads to it, is neither the user's nor root's."""
    if not hasattr(os, "geteuid"):  # Windows keeps no such owners
        return
    own = {0, os.geteuid()}
    if os.geteuid() == 0 and environ.get("SUDO_UID", "").isdecimal():
        own.add(int(environ["SUDO_UID"]))
    try:
        owners = [file.lstat().st_uid, file.stat().st_uid]
        folder = file.parent.resolve()
    except OSError as error:
        raise ConfigError(f"the configuration file {file} cannot be read: {error.strerror}") from error
    strangers = [uid for uid in owners if uid not in own]
    if not strangers:
        return
    for allowed in environ.get(SAFE_CONFIG, "").split(os.pathsep):
        if allowed == "*" or (allowed and Path(allowed).resolve() == folder):
            return
    raise ConfigError(
        f"./{file} belongs to {_name(strangers[0])}, not to you, and is not obeyed: name it by "
        f"--config {file}, or allow the folder by {SAFE_CONFIG}={printable(str(folder), 200)}"
    )


def _name(uid: int) -> str:
    import pwd

    try:
        return printable(pwd.getpwuid(uid).pw_name, 40)
    except KeyError:
        return f"user {uid}"
