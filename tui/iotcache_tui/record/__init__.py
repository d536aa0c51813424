"""Recording what the dashboard takes in, and playing it back into the same screens."""
