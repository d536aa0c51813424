"""What the Fleet screen shows: one column-wise entry a series."""
