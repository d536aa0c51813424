"""The program's own colour themes. Meaning is never carried by colour alone."""

from __future__ import annotations

from textual.theme import Theme

THEMES = (
    Theme(
        name="iotcache-dark",
        primary="#4cc2c4",
        secondary="#7aa2f7",
        accent="#f2b866",
        success="#7fc98b",
        warning="#f2b866",
        error="#f2777a",
        foreground="#d3dae3",
        background="#0e141b",
        surface="#131b24",
        panel="#1c2733",
        dark=True,
    ),
    Theme(
        name="iotcache-light",
        primary="#0b7285",
        secondary="#3b5bdb",
        accent="#b35c00",
        success="#2b7a3d",
        warning="#a85400",
        error="#c0272d",
        foreground="#1b2733",
        background="#f4f6f8",
        surface="#ffffff",
        panel="#e4e9ee",
        dark=False,
    ),
    Theme(
        name="iotcache-contrast",
        primary="#00e5ff",
        secondary="#ffffff",
        accent="#ffd400",
        success="#00ff66",
        warning="#ffd400",
        error="#ff5c5c",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#202020",
        dark=True,
    ),
    # Okabe and Ito's palette, told apart with every common colour blindness.
    Theme(
        name="iotcache-colourblind",
        primary="#56b4e9",
        secondary="#cc79a7",
        accent="#f0e442",
        success="#56b4e9",
        warning="#e69f00",
        error="#d55e00",
        foreground="#dfe6ee",
        background="#10151b",
        surface="#151c24",
        panel="#202a35",
        dark=True,
    ),
)
