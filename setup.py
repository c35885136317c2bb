"""A wheel of Python source, or with COLLECTIVELINT_COMPILE=1 one that holds the hot modules as machine code beside it."""

from __future__ import annotations

import os
import runpy
import sys

from setuptools import setup

#: Needed for the compiled wheel only: building the other one takes nothing but setuptools.
REQUIRED = ["mypy[mypyc]>=2.4"]
OPTIONS = [
    # The rules of the checkout (strict) are checked elsewhere; here only what is compiled has to be understood.
    "--config-file=",
    "--follow-imports=silent",
    "--ignore-missing-imports",
]

if os.environ.get("COLLECTIVELINT_COMPILE") == "1":
    modules = []
    # Nothing is compiled where only the requirements, the metadata or the source distribution are asked for; an editable
    # installation runs the source that is edited.
    if "bdist_wheel" in sys.argv:
        from mypyc.build import mypycify

        names = runpy.run_path("collectivelint/compiled.py")["MODULES"]
        paths = [f"{name.replace('.', '/')}.py" for name in names]
        # One library for all, `collectivelint__mypyc` beside the package: calls between its modules are direct. Inside the
        # package the modules would have a wrong `__file__`.
        modules = mypycify(
            [*OPTIONS, *paths], opt_level="2", debug_level="0", group_name="collectivelint", multi_file=True
        )
    setup(ext_modules=modules, setup_requires=REQUIRED)
else:
    setup()
