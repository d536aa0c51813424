"""The synthetic fleet as pure functions: the same seed and virtual time give the same bytes."""
