"""What the screens read: one in-memory picture of the fleet, filled by a feed, knowing nothing of sockets."""
