"""Feeds: what fills the state. Each runs apart from the screen and leaves immutable updates in a mailbox."""
