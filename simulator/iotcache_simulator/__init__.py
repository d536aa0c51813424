"""The synthetic device fleet, and the embedded servers that a demo or a test runs on."""
