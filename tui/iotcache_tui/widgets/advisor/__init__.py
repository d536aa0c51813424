"""What the Advisor screen is drawn with."""
