"""What the bundled node holds: items, their slabs, storing and counting."""
