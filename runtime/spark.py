"""Spark as an engine: a session on a cluster, and the cause of an error raised there."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What Spark calls a master.
_MASTER: Final = re.compile(r"local(\[.+\])?|yarn|(spark|k8s|mesos)://.+")
#: The last line of a traceback of Python; the classes of Java have a package.
_RAISED: Final = re.compile(r"(?!(?:org|java|javax|scala|py4j)\.)[\w.]*(?:Error|Exception|NotFound)\b: .+")
_SETTINGS: Final = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}


def is_master(engine: str) -> bool:
    """Whether Spark has a master of this form."""
    return _MASTER.fullmatch(engine) is not None


@contextmanager
def session(
    master: str, extras: str, fail: Callable[[str], Exception], settings: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """A SparkSession, stopped afterwards. Raises `fail(message)` if none can be started.

    `extras`: extras of this package that install pyspark; `settings`: Spark settings, added to those that keep it
    quiet.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise fail(f"--engine {master} needs pyspark: pip install 'collectivelint[{extras}]'") from None
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("collectivelint")
    for key, value in {**_SETTINGS, **(settings or {})}.items():
        builder = builder.config(key, value)
    try:
        made = builder.getOrCreate()
    except Exception as error:
        raise fail(f"--engine {master}: {cause(error)}") from None
    try:
        made.sparkContext.setLogLevel("ERROR")
        yield made
    finally:
        with suppress(Exception):
            made.stop()


def cause(error: Exception) -> str:
    """One line of an error: the Python exception in it, else the first "Caused by" of Java, else its first line.

    The rest of such a message is Java and Python tracebacks.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.fullmatch(line)]
    causes = [line.partition(": ")[2] for line in lines if line.startswith("Caused by: ")]
    return (raised[-1:] or causes or lines or [type(error).__name__])[0]
