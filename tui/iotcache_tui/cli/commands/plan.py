"""What a fleet needs: messages, bytes, memory, nodes, workers and database, and which part is full first."""

from __future__ import annotations

import argparse

from iotcache.errors import UsageError
from iotcache.text import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=int, required=True, metavar="N", help="of the fleet")
    parser.add_argument(
        "--interval", type=float, required=True, metavar="S", help="seconds between readings of a sensor"
    )
    parser.add_argument("--sensors", type=int, default=1, metavar="N", help="of a device (default 1)")
    parser.add_argument("--ttl", type=float, metavar="S", help="of a cached reading (default: 3 intervals)")
    parser.add_argument(
        "--payload-bytes", type=int, default=140, metavar="B", help="of one reading (default 140)"
    )
    parser.add_argument(
        "--per-message", type=int, default=1, metavar="N", help="readings in a message (default 1)"
    )
    parser.add_argument(
        "--reads",
        type=float,
        metavar="R",
        help="series read a second (default: as many as written)",
    )
    parser.add_argument("--hit-ratio", type=float, default=0.98, metavar="H", help="0 to 1 (default 0.98)")
    parser.add_argument("--retention", type=float, default=30.0, metavar="DAYS", help="(default 30)")
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1, help="MQTT quality of service (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from iotcache.capacity import Fleet, plan
    from iotcache.decode.limits import READINGS_LIMIT
    from iotcache.model.messages import PAYLOAD_LIMIT_BYTES

    limits = (
        ("--devices", args.devices, 1, 1e10), ("--interval", args.interval, 1e-3, 1e9),
        ("--sensors", args.sensors, 1, 1e6), ("--ttl", args.ttl, 1, 1e9),
        ("--payload-bytes", args.payload_bytes, 1, PAYLOAD_LIMIT_BYTES),
        ("--per-message", args.per_message, 1, READINGS_LIMIT),
        ("--reads", args.reads, 0, 1e12), ("--hit-ratio", args.hit_ratio, 0, 1),
        ("--retention", args.retention, 1, 1e6),
    )  # fmt: skip
    for flag, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise UsageError(f"{flag} is {value:,}, allowed is {low:g} to {high:,.0f}")
    message_bytes = args.payload_bytes * args.per_message
    if message_bytes > PAYLOAD_LIMIT_BYTES:
        raise UsageError(
            f"--per-message {args.per_message} at --payload-bytes {args.payload_bytes} makes messages of "
            f"{message_bytes:,} bytes, of which a worker takes {PAYLOAD_LIMIT_BYTES:,} at most"
        )
    made = plan(
        Fleet(
            devices=args.devices, interval_s=args.interval, sensors=args.sensors, ttl_s=args.ttl or 0.0,
            payload_bytes=args.payload_bytes, readings_per_message=args.per_message, reads_per_s=args.reads,
            hit_ratio=args.hit_ratio, retention_days=args.retention, qos=args.qos,
        )
    )  # fmt: skip
    if args.json:
        import msgspec

        data = msgspec.to_builtins(made)
        data["first_to_saturate"] = made.first_to_saturate.part
        print(msgspec.json.encode(data).decode())
        return 0
    print(f"messages        {_count(made.messages_per_s)}/s ({_count(made.readings_per_s)} readings/s)")
    print(f"to the broker   {_bytes(made.bytes_per_s)}/s")
    print(f"in the cache    {plural(made.items, 'item')}, {_bytes(made.cache_bytes)}")
    print(
        f"in the store    {_count(made.rows_per_day)} rows a day, "
        f"{_bytes(made.store_bytes)} in {args.retention:g} {'day' if args.retention == 1 else 'days'}"
    )
    print(f"store reads     {_count(made.store_reads_per_s)}/s at a hit ratio of {100 * args.hit_ratio:g} %")
    print()
    print(f"{'Have':>5}  {'What':46} {'Load':>20} {'Used':>5}")
    for need in made.needs:
        load = f"{_bytes(need.load)}" if need.unit == "bytes" else f"{_count(need.load)} {need.unit}"
        print(f"{need.count:>5}  {need.what:46} {load:>20} {100 * need.used:4.0f}%")
        print(f"       {need.basis}")
    first = made.first_to_saturate
    print(
        f"\nFull first: the {first.part}, at {_count(made.readings_per_s / max(first.used, 1e-9))} "
        "readings/s of this plan."
    )
    return 0


def _count(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.1f}{unit}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    for factor, unit in ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"
