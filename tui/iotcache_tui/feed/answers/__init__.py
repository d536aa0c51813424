"""The answers to the screens' requests, by subject; run in the feed's own thread."""
