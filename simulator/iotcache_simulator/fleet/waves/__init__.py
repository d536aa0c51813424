"""Waveforms: a sensor's value as a pure function of seed and time, one by one and in numpy blocks."""
