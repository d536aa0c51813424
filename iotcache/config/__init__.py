"""Configuration: found, merged, validated in one place, handed out as typed structs."""
