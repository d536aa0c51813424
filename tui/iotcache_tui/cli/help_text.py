"""How ``--help`` is laid out: commands by what they are for, flags in groups, examples of each command."""

from __future__ import annotations

from typing import Final

COMMAND_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "look": ("snapshot", "get", "where", "alerts", "record", "replay"),
    "run": ("ingest", "stack", "warm", "device", "deadletter", "store"),
    "simulate and learn": ("simulate", "lab", "verify", "bench"),
    "plan and mend": ("doctor", "explain", "advise", "nodes", "plan"),
    "this program": ("config", "schema", "completion", "manual"),
}
"""Headings of the list of commands."""

FLAG_GROUPS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "": {
        "in a browser": ("--serve", "--serve-url", "--serve-token", "--serve-sessions"),
        "recording": ("--record", "--record-values", "--record-payloads"),
    },
    "simulate": {
        "the fleet": (
            "--devices", "--class", "--preset", "--seed", "--lives", "--listen", "--shard", "--faults",
            "--labels", "--control",
        ),
        "load and time": (
            "--rate", "--duration", "--count", "--speed", "--profile", "--arrival", "--start", "--from",
            "--until",
        ),
        "messages": (
            "--qos", "--retain", "--format", "--payload", "--pad", "--zone", "--primary-host",
            "--user-property", "--topic-aliases",
        ),
        "connections": (
            "--connections", "--persistent", "--keep-alive", "--reconnect-storm", "--reconnect-within",
            "--connect-timeout", "--processes", "--no-stats", "--ramp",
        ),
        "identity": ("--client-id", "--user", "--password-file", "--cert-dir"),
        "verdict": ("--verify", "--settle", "--patience", "--require", "--report", "--junit"),
    },
    "lab": {
        "run": ("--headless", "--report", "--junit", "--markdown", "--auto", "--record"),
        "list": ("--json",),
    },
    "plan": {
        "readings": ("--interval", "--sensors", "--payload-bytes", "--per-message", "--qos"),
        "cache and store": ("--ttl", "--reads", "--hit-ratio", "--retention"),
    },
    "store": {
        "export": ("--device", "--sensor", "--since", "--until", "--out"),
        "prune": ("--older-than",),
        "stats": ("--json",),
    },
    "deadletter": {
        "list": ("--limit", "--reason", "--json"),
        "redrive and purge": ("--all", "--older-than", "--yes"),
    },
    "device": {"push": ("--file", "--version", "--site", "--publish")},
}  # fmt: skip
"""By command (empty: the dashboard), the headings of its flags; what is in none stands under "options"."""

EXAMPLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "": (
        ("", "a live fleet with all its servers, started and ended with it"),
        ("--nodes cache1:11211,cache2:11211 --read-only", "look at a cache that is there"),
    ),
    "simulate": (
        ("--devices 1000 --rate 2000 --duration 20 --report -", "20 s of a fleet, and its verdict as JSON"),
        ("readers --rate 5000 --workload twitter-29 --duration 30", "read as a published cluster is read"),
        ("certs pki --devices 100", "certificates for --cert-dir pki/devices"),
    ),
    "ingest": (
        ("--config mine.toml", "one worker: from the broker into store and cache"),
        ("--group workers --instance w1 --http 127.0.0.1:8080", "one of several, with its HTTP gateway"),
    ),
    "stack": (
        ("", "everything embedded; prints one JSON line with its addresses"),
        ("--no-simulate --set cache.nodes=embedded:2", "two cache nodes and no fleet"),
    ),
    "get": (
        ("pump-0001 pressure", "the value, where it came from and why it missed"),
        ("pump-0001 pressure --json", "the same for a script"),
    ),
    "where": (
        ("pump-0001:pressure:latest", "the node that owns this key"),
        ("pump-0001:pressure:latest --json", "and who stands in for it"),
    ),
    "warm": (
        ("", "all entries that the store knows"),
        ("--site plant-north --per-s 2000", "one site, and gently"),
    ),
    "device": (
        ("show pump-0001", "what it told of itself, and its configuration"),
        ("push pump-0001 --file pump.json --publish", "configure it, and tell it so"),
    ),
    "alerts": (
        ("", "what stands now"),
        ("ack hot pump-0001:temperature --by eva", "say that you know"),
    ),
    "explain": (
        ("""plant/dev-1/t '{"value": 21.5}'""", "what becomes of one message"),
        ("--listen 30 --broker mqtt://broker", "of each kind of message that a broker has"),
    ),
    "deadletter": (
        ("list --limit 10", "the latest that could not be decoded"),
        ("redrive --reason missing", "decode again those with this reason"),
    ),
    "store": (
        ("stats", "readings, series and bytes"),
        ("export --device pump-0001 --since 2026-11-01 --out pump.csv", "one device as CSV"),
    ),
    "advise": (
        ("--for 10m", "look ten minutes long, then say what to change"),
        ("--for 1h --json", "the evidence as well, for a program"),
    ),
    "nodes": (
        ("list", "share, state, entries, memory and rates of each"),
        ("whatif --add cache4:11211 --weight cache1:11211=2", "what that would move, and cost"),
        ("add cache4:11211 --yes", "grow the ring while it serves"),
    ),
    "plan": (
        ("--devices 1000000 --interval 30", "what a million devices need"),
        ("--devices 5000 --interval 10 --sensors 4 --ttl 60", "several sensors, and a TTL of your own"),
    ),
    "lab": (
        ("run node-crash-and-remap", "a lesson, on servers of its own"),
        ("run hot-key --headless --report -", "the same as a test"),
    ),
    "snapshot": (
        ("--filter stale --limit 20", "the first 20 stale series"),
        ("--json --exit-code", "for a monitor: exit code 1 while a part is down"),
    ),
    "record": (
        ("flight.rec", "the last 24 hours, kept on"),
        ("flight.rec --keep 7d --max 2GB", "a week, in no more than 2 GB"),
    ),
    "replay": (
        ("flight.rec", "the same screens over what happened"),
        ("flight.rec --speed 8", "eight times as fast"),
    ),
    "verify": (
        ("cluster --seeds 1000", "a thousand simulated clusters, each from its own seed"),
        ("chaos --kills 50 --for 60 --report -", "kill the real pipeline fifty times in a minute"),
    ),
    "doctor": (
        ("--config mine.toml", "what answers, what does not, and how to mend it"),
        ("--json", "the same for a program"),
    ),
    "config": (
        ("show", "every setting in force, and where it came from"),
        ("default", "a commented file to start from"),
    ),
    "completion": (
        ("bash", "a script for bash: source <(iotcache-tui completion bash)"),
        ("fish", "for fish: iotcache-tui completion fish | source"),
    ),
    "manual": (
        ("", "open it"),
        ("> iotcache-tui.1", "write it, for man's own folder"),
    ),
    "schema": (
        ("--out schemas", "those of files, where shipped files look for them"),
        ("snapshot", "that of what snapshot --json prints"),
    ),
    "bench": (
        ("--list", "what can be measured"),
        ("start --rounds 3", "how soon the dashboard stands"),
    ),
}
"""By command (empty: the dashboard), what may follow its name, and what it does."""


def group_of(command: str | None, flag: str) -> str | None:
    """The heading that a flag of a command stands under; ``None`` for the common ones."""
    return next((title for title, flags in FLAG_GROUPS.get(command or "", {}).items() if flag in flags), None)


def examples(program: str, command: str) -> str:
    """The examples of a command as the end of its help."""
    lines = ["examples:"]
    for words, text in EXAMPLES.get(command, ()):
        lines += [f"  {' '.join(filter(None, (program, command, words)))}", f"      {text}"]
    return "\n".join(lines)
