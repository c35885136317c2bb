"""Spark, for what computes on a cluster: a session on it, and why something there has failed."""

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
    """A SparkSession, ended afterwards. Raises what `fail` makes of a message where there is none.

    `extras`: those of this package that have what is needed; `settings`: Spark's, beside those that keep it quiet.
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
    """One line of an error: the exception of Python in it, or the first cause that Java names, or its first line.

    Traces of Java and Python stand around these.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.fullmatch(line)]
    causes = [line.partition(": ")[2] for line in lines if line.startswith("Caused by: ")]
    return (raised[-1:] or causes or lines or [type(error).__name__])[0]
