"""The Lab: training scenarios on real servers, which teach on a screen and test headless."""
