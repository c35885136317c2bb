"""The program: an index of each file, and names resolved through imports and classes."""

from .target import Target

__all__ = ["Target"]
