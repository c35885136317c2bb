"""The marker KEEP: in a changed copy of a record, the field keeps its value."""

from __future__ import annotations

from typing import Final


class Keep:
    """The type of KEEP."""

    def __repr__(self) -> str:
        """Its name."""
        return "KEEP"


#: The default of a field in a changed copy: it stays as it is.
KEEP: Final = Keep()
