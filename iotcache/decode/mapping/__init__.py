"""Payloads of fleets that do not write the default one, read by mappings; docs/payloads.md has the rules."""
