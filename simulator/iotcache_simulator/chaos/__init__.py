"""A pipeline whose parts are killed, frozen and restarted under load, and what the ledger says of it."""
