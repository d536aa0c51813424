"""What is wrong, as one ranked list: all screens, plain lines, snapshot and doctor read it."""
