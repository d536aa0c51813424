"""The bundled cache node: memcached's text protocols in Python, for where no ``memcached`` is installed.

It runs as a process of its own, ``python -P -m iotcache_simulator.cachenode``, and needs the standard
library only. Read it from the outside in: :mod:`.server` owns the sockets, :mod:`.protocol.engine` turns
bytes into answers, :mod:`.protocol.classic` and :mod:`.protocol.meta` are the commands, :mod:`.memory.items`
is the cache. Protocol rules are those of memcached's ``doc/protocol.txt``; where that is silent, of its
``proto_text.c`` at the version named below.
"""

from __future__ import annotations

VERSION = "1.6.38-iotcache"
"""What ``version`` answers: the memcached release whose behaviour this is, and that it is another program."""
