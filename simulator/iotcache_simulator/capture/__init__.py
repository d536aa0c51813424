"""Real traffic, written down with its timing, and published again."""
