"""What the generated world is made of: shapes with their kinds, colors, sizes, textures, relations.

The order of every table is part of the world: scenes are drawn by position in it.
"""

KINDS: dict[str, tuple[str, ...]] = {
    "round": ("circle", "oval", "ring"),
    "boxy": ("square", "bar", "frame"),
    "pointed": ("triangle", "diamond", "arrow"),
    "crossed": ("plus", "cross", "hash"),
}
"""Coarse shape to its fine shapes."""

SHAPES: dict[str, str] = {shape: kind for kind, shapes in KINDS.items() for shape in shapes}
"""Fine shape to its coarse shape."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (225, 25, 35),
    "orange": (255, 140, 0),
    "yellow": (250, 230, 30),
    "green": (30, 160, 50),
    "cyan": (40, 215, 235),
    "blue": (30, 60, 225),
    "purple": (125, 30, 165),
    "pink": (255, 125, 200),
}
"""Name to RGB."""

BACKGROUND = (236, 236, 236)
"""RGB of everything that no object covers."""

SIZES = ("small", "large")
"""A large object fills its cell, a small one two thirds of its side."""

TEXTURES = ("solid", "striped", "checked")
"""Stripes (diagonal) and checks alternate the color with its half-dark shade."""

RELATIONS: dict[str, str] = {
    "left": "left of",
    "right": "right of",
    "above": "above",
    "below": "below",
}
"""Relation to the words that stand between its two arguments in a caption."""

OPPOSITE: dict[str, str] = {"left": "right", "right": "left", "above": "below", "below": "above"}
"""The relation with its arguments exchanged."""
