"""twohop: a text becomes a label in two network hops. This package is what callers import."""

__version__ = "0.1.0"
