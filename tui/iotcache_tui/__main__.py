"""``python -m iotcache_tui`` is ``iotcache-tui``."""

import sys

from iotcache_tui.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
