"""The dashboard's widgets. None opens a socket; each draws from the state."""
