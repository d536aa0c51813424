"""The Keys screen."""
