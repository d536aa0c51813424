"""The traffic of cache nodes, taken from their logs or from this process's own requests, for the advisor."""
