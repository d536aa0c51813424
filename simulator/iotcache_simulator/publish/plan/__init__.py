"""What a run is to send, as pure functions of its specification."""
