"""The ring of nodes as it changes while it serves: one change, all clients."""
