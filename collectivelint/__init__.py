"""collectivelint finds the collectives that hang distributed PyTorch jobs: before, during and after the run."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.2.0"
