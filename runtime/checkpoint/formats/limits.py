"""Upper bounds on the numbers in a checkpoint: a malicious file could otherwise cost unlimited time or memory."""

from __future__ import annotations

from typing import Final

#: Of a tensor; torch's own limit. The product of 200,000 sizes is a number of megabytes.
MOST_DIMENSIONS: Final = 64
#: Bytes of all names together, beside those of the file: a long key stands in the name of each value below it.
MOST_NAMES: Final = 256 << 20
