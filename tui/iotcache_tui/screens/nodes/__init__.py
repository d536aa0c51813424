"""The Nodes screen and what it can do to a node."""
