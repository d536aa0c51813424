"""Loads the MQTT library for the fork server, without what no child of ours uses.

paho.mqtt would load dnspython, to look up where a domain has its brokers (``connect_srv``), and that takes as
long as all the rest of it. It goes on without where it cannot have it. For a process of one thread only: in
another thread, the import of dnspython would fail meanwhile.
"""

import importlib
import sys

if "dns" in sys.modules:
    importlib.import_module("aiomqtt")
else:
    sys.modules["dns"] = None  # type: ignore[assignment]  # no module, for the import statement
    try:
        importlib.import_module("aiomqtt")
    finally:
        del sys.modules["dns"]
