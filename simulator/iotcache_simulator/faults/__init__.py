"""Faults of devices: what goes wrong, when, with whom, and the truth that it hides."""
