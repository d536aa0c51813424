"""What ``iotcache-tui simulate`` is made of: flags, runs, and what they print."""
