"""A visitor's process: ``iotcache-tui ARGUMENT…`` that ends with the server that started it, however that
ends. Run as ``python -P -m iotcache_tui.web.child PARENT_PID ARGUMENT…``.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_LOOK_EVERY_S = 1.0


def end_with(parent_pid: int) -> None:
    """Let the kernel end this process with its parent; where it cannot, look every second."""
    from iotcache_simulator.processes.guard import die_with_parent

    die_with_parent(parent_pid)

    def look() -> None:
        while os.getppid() == parent_pid:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    if sys.platform != "win32":
        threading.Thread(target=look, daemon=True, name="parent watch").start()


def main() -> int:
    end_with(int(sys.argv[1]))
    from iotcache_tui.cli.main import main as run

    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
