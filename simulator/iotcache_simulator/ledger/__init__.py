"""The ledger: what was to be published, held against what arrived, was stored and can be read."""
