"""``iotcache-tui simulate``: a seeded device fleet without a screen, with a verdict for scripts and CI.

Exit code 0: all that was promised was delivered; 1: it was not; 2: usage; 3: the broker (for readers: the
store) was never reached, or a place to verify could not be asked.
"""

from __future__ import annotations

import argparse
import sys

from iotcache.errors import StackError, UsageError
from iotcache_tui.cli.simulating.flag_check import check_flags
from iotcache_tui.cli.simulating.values import (
    connections,
    control_name,
    moment,
    moments,
    number,
    pair,
    shard,
    speed,
    whole,
)

DEVICES_MAX = 1_000_000
PROCESSES_MAX = 32
EXIT_COULD_NOT_RUN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own flags; ``--config``, ``--broker`` and their like are common to all commands."""
    parser.add_argument(
        "what",
        nargs="?",
        default="fleet",
        metavar="fleet|readers|capture|play|certs",
        help="devices that publish (the default), readers of the cache, real traffic: written to FILE, or "
        "published from it; or certificates of devices, in the folder FILE",
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the recording, for capture and play; the folder, for certs"
    )
    parser.add_argument("--devices", type=whole(1, DEVICES_MAX), metavar="N", help="size of the fleet")
    parser.add_argument(
        "--rate",
        type=number(0.0, 1e7),
        metavar="R",
        help="messages a second of the whole fleet (0: each sensor at its class's own interval), "
        "or series read a second",
    )
    parser.add_argument(
        "--duration",
        type=number(0.001, 1e9),
        metavar="S",
        help="seconds of the fleet's time; without it the fleet runs until SIGINT or SIGTERM",
    )
    parser.add_argument(
        "--seed", type=whole(-(2**63), 2**63 - 1), metavar="K", help="decides every value of the stream"
    )
    parser.add_argument("--qos", type=int, choices=(0, 1, 2), help="MQTT quality of service")
    parser.add_argument(
        "--retain", action="store_true", help="the broker keeps each series' last reading (retained)"
    )
    parser.add_argument(
        "--format",
        default="json",
        metavar="NAME",
        help="payloads: json, cbor, senml, sparkplug[:aliases] or template:FILE (default json)",
    )
    parser.add_argument(
        "--primary-host", default="", metavar="ID",
        help="with --format sparkplug: edge nodes are silent while this host application is not online",
    )  # fmt: skip
    parser.add_argument(
        "--preset", metavar="NAME",
        help="devices and messages of a well-known fleet: zigbee2mqtt, tasmota, ttn, … (as ingest.preset)",
    )  # fmt: skip
    parser.add_argument(
        "--payload", metavar="TEXT|@FILE",
        help="a payload of your own, with fields such as {device}, {value} and {ts:ms} (docs/simulator.md)",
    )  # fmt: skip
    parser.add_argument(
        "--zone",
        default="",
        metavar="ZONE",
        help="of the times in --payload, as Europe/Amsterdam (default UTC)",
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="X",
        help="seconds of the fleet's time in a real one, or 'max' (default 1)",
    )
    parser.add_argument(
        "--start",
        type=moment,
        metavar="TIME",
        help="the fleet's time at its start, RFC 3339; payloads show it, so that their bytes repeat",
    )
    parser.add_argument(
        "--from", dest="since", type=moment, metavar="TIME",
        help="with --until: publish the fleet's readings of that time (RFC 3339), as fast as it goes",
    )  # fmt: skip
    parser.add_argument("--until", type=moment, metavar="TIME", help="the end of --from")
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="a device class or a TOML file of one; may be repeated (default: all classes shipped)",
    )
    parser.add_argument(
        "--profile",
        default="constant",
        metavar="NAME",
        help="load: constant, ramp, step, burst, spike or diurnal, with keys as in 'burst:every=10,times=20'",
    )
    parser.add_argument(
        "--arrival",
        choices=("even", "scattered"),
        default="even",
        help="each series at fixed distances, or at random within them (default even)",
    )
    parser.add_argument("--faults", metavar="FILE", help="a TOML file of faults (docs/simulator.md)")
    parser.add_argument(
        "--control", type=control_name, metavar="NAME",
        help="follow messages on iotcache/control/simulator/NAME: faults and load while it runs",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="FILE", help="write the truth behind each fault, one JSON line a reading"
    )
    _add_wire_arguments(parser)
    parser.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="K/N",
        help="publish the Kth of N parts of the fleet, the others being run elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--processes",
        type=whole(1, PROCESSES_MAX),
        default=1,
        metavar="N",
        help="processes that share the fleet without changing its stream (default 1)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=number(0.1, 3600.0),
        default=10.0,
        metavar="S",
        help="give up with exit code 3 when for so long no connection comes (default 10 s)",
    )
    parser.add_argument(
        "--patience",
        type=number(0.0, 3600.0),
        default=10.0,
        metavar="S",
        help="how long after the end messages and confirmations may still take (default 10 s)",
    )
    parser.add_argument(
        "--verify",
        metavar="PLACES",
        help="hold what was published against mqtt, store[=URL] and cache[=host:port,…], commas between",
    )
    parser.add_argument(
        "--settle",
        type=number(0.0, 3600.0),
        default=5.0,
        metavar="S",
        help="with --verify: what has not come after so long without news is lost (default 5 s)",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CONDITION",
        help="such as 'lost==0' or 'e2e_p99<250ms': only these decide the exit code; repeatable",
    )
    parser.add_argument("--junit", metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument("--report", metavar="FILE|-", help="write the JSON report to a file or to stdout")
    capture = parser.add_argument_group("capture")
    capture.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the recording: the same as FILE without a flag; for a fleet: write it to FILE (.ndjson: "
        "messages, which play publishes; .csv: readings) and to no broker",
    )
    capture.add_argument(
        "--topic",
        action="append",
        metavar="FILTER|TOPIC",
        help="for capture what to listen to, repeatable (default iot/#); for a fleet the topic of its "
        "messages, with fields such as {site} and {device}",
    )
    play = parser.add_argument_group("play")
    play.add_argument(
        "--truth", metavar="FILE",
        help="with --labels: which times are anomalies, as combined_windows.json of the Numenta benchmark",
    )  # fmt: skip
    certs = parser.add_argument_group("certs")
    certs.add_argument(
        "--host", action="append", default=[], metavar="NAME",
        help="name or address of the broker, repeatable (default localhost, 127.0.0.1 and ::1)",
    )  # fmt: skip
    certs.add_argument(
        "--days", type=whole(1, 36_500), default=365, metavar="N", help="how long they hold (default 365)"
    )
    readers = parser.add_argument_group("readers")
    readers.add_argument(
        "--popularity",
        default="zipf",
        metavar="NAME",
        help="which series are read: zipf[:EXPONENT], uniform or scan (default zipf)",
    )
    readers.add_argument(
        "--workload",
        metavar="NAME",
        help="read as often as the keys of a published cluster are: twitter-4, twitter-29, cold-room, …",
    )
    readers.add_argument(
        "--keys", type=whole(1, 1_000_000), default=None, metavar="N",
        help="with --workload: so many keys of its own in the nodes, with its sizes, TTLs and writes",
    )  # fmt: skip
    readers.add_argument(
        "--batch", type=whole(1, 10_000), default=10, metavar="N", help="series in one request (default 10)"
    )


def _add_wire_arguments(parser: argparse.ArgumentParser) -> None:
    """How the fleet connects, and who it says that it is."""
    parser.add_argument(
        "--connections",
        type=connections,
        default=1,
        metavar="N|devices",
        help="MQTT connections that the devices share, or 'devices' for one each (default 1)",
    )
    parser.add_argument(
        "--lives",
        action="store_true",
        help="devices tell birth, configuration and death; with --connections devices as their last will",
    )
    parser.add_argument(
        "--listen", action="store_true",
        help="devices follow configurations (iot/SITE/DEVICE/cfg) and commands (…/cmd/NAME), and report on "
        "…/reported/…",
    )  # fmt: skip
    parser.add_argument(
        "--no-stats", dest="stats", action="store_false",
        help="do not tell the fleet's counters on iotcache/stats/simulator/…: one connection less",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=whole(1, 2**53), metavar="N", help="end after exactly so many messages"
    )
    parser.add_argument(
        "--pad", type=whole(0, 1_000_000), default=0, metavar="BYTES",
        help="fill payloads up to this size with spaces",
    )  # fmt: skip
    parser.add_argument(
        "--ramp", type=number(0.0, 86_400.0), default=0.0, metavar="S",
        help="make the connections one after the other, over so many seconds",
    )  # fmt: skip
    parser.add_argument(
        "--client-id", default="", metavar="TEMPLATE",
        help="of each connection, as 'sensor-{device}' with --connections devices, or 'gateway-{connection}'",
    )  # fmt: skip
    parser.add_argument(
        "--user", default="", metavar="TEMPLATE", help="the user name of each connection, in the same way"
    )
    parser.add_argument(
        "--cert-dir", default="", metavar="DIR",
        help="with --connections devices: each shows its own certificate, DEVICE.crt with DEVICE.key",
    )  # fmt: skip
    parser.add_argument(
        "--password-file", default="", metavar="FILE",
        help="with --user: the password of each user name, lines of USER:PASSWORD",
    )  # fmt: skip
    parser.add_argument("--persistent", action="store_true", help="MQTT sessions outlast their connections")
    parser.add_argument(
        "--reconnect-storm",
        type=moments,
        default=(),
        metavar="S[,S]",
        help="lose all connections at once, so many seconds after the start",
    )
    parser.add_argument(
        "--reconnect-within",
        type=number(0.0, 3600.0),
        default=1.0,
        metavar="S",
        help="how long at most a connection stays away after a storm (default 1 s)",
    )
    parser.add_argument(
        "--keep-alive",
        type=whole(5, 65_535),
        metavar="S",
        help="MQTT keep-alive (default: broker.keepalive_s)",
    )
    parser.add_argument(
        "--user-property",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=TEXT",
        help="goes with every message; repeatable; needs broker.protocol 5",
    )
    parser.add_argument(
        "--topic-aliases", action="store_true", help="send each topic once; needs broker.protocol 5"
    )


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; the exit code is the verdict."""
    try:
        return _run(args)
    except StackError as error:
        # A run that found no servers is no run that lost messages.
        print(f"iotcache-tui simulate: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN


def _run(args: argparse.Namespace) -> int:
    traffic = args.what in {"capture", "play"}
    if not traffic and args.what != "certs" and (args.what not in {"fleet", "readers"} or args.file):
        # Not argparse's choices: it would blame the value of a misspelt flag.
        wrong = args.file if args.what in {"fleet", "readers"} else args.what
        raise UsageError(
            f"there is no {wrong!r} to simulate; there are fleet, readers, capture, play and certs"
        )
    flags = argparse.ArgumentParser(add_help=False)
    add_arguments(flags)
    check_flags(args, vars(flags.parse_args([])))
    if args.output and traffic:
        if args.file:
            raise UsageError(f"-o {args.output} and {args.file} name two files for one recording")
        args.file = args.output
    if traffic:
        from iotcache_tui.cli.simulating.traffic import run_capture, run_play

        return run_capture(args) if args.what == "capture" else run_play(args)
    if args.what == "certs":
        from iotcache_tui.cli.simulating.certs import run_certs

        return run_certs(args)
    if args.what == "readers":
        from iotcache_tui.cli.simulating.readers import run_readers

        return run_readers(args)
    from iotcache_tui.cli.simulating.fleet import run_fleet

    return run_fleet(args)
