"""`torchrun ... -m collectivelint.runtime train.py ARGS`: run a script traced, without the launcher.

The trace is a run below $COLLECTIVELINT_TRACE, or below `collectivelint-trace` in the current folder. A process on each
host compares the ranks while they run, unless that variable names the run of a launcher, which already does so.
$COLLECTIVELINT_ON_DIVERGENCE says what to do when ranks diverge: report (the default) or abort.
$COLLECTIVELINT_CHECK_DATA also compares the data of calls.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from .activate import activate
from .environment import DEFAULT_FOLDER, MANIFEST, VARIABLE, OnDivergence


def main() -> None:
    """Run the script named on the command line as `__main__`."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m collectivelint.runtime SCRIPT [ARGS...]")
    abort = os.environ.get("COLLECTIVELINT_ON_DIVERGENCE") == "abort"
    folder = Path(os.environ.get(VARIABLE, DEFAULT_FOLDER))
    watch: OnDivergence = "abort" if abort else "report"
    activate(folder, None if (folder / MANIFEST).is_file() else watch)
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
