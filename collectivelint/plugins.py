"""Rules of other distributions: modules that they name in the entry-point group `collectivelint.rules`."""

from __future__ import annotations

import importlib.util
import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.metadata import EntryPoint
    from types import FrameType

    from .rule import Report, RuleModule

ENTRY_POINTS: Final = "collectivelint.rules"
#: What a suppression comment and a selector can name.
_CODE: Final = re.compile(r"[A-Z]+[0-9]+")
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Plugins:
    """The rules of other distributions: `modules`, each with its distribution, and `problems`, a message for each broken one."""

    modules: tuple[tuple[RuleModule, str], ...]
    problems: tuple[str, ...]


def load(ours: Mapping[str, RuleModule]) -> Plugins:
    """Import all plugins; `ours` are the modules of collectivelint by code. A broken one does not stop the others."""
    found: list[tuple[RuleModule, str]] = []
    problems: list[str] = []
    owners = {name: "collectivelint" for module in ours.values() for name in (module.RULE.code, module.RULE.name)}
    for entry in _entries():
        distribution = _distribution(entry)
        where = f"rule plugin `{entry.name}` ({entry.value}) of {distribution}"
        with interrupts() as interrupted:
            try:
                module = entry.load()
            except BaseException as error:  # whatever its import raises, the other rules run
                if interrupted():
                    raise
                problems.append(f"{where} cannot be imported: {type(error).__name__}: {error}")
                continue
        if any(module is known for known, _ in found):
            continue
        wrong = _wrong(module, owners)
        if wrong:
            problems.append(f"{where} is not used: {wrong}")
            continue
        owners |= dict.fromkeys((module.RULE.code, module.RULE.name), distribution)
        found.append((module, distribution))
    return Plugins(tuple(found), tuple(problems))


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Run code of a plugin inside; yields a function that says whether the user interrupted it: it may raise KeyboardInterrupt itself."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        # Only the main thread is interrupted.
        yield lambda: False
        return
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, before)


def _wrong(module: Any, owners: Mapping[str, str]) -> str:
    """Why a module cannot be used as a rule; "" where it can."""
    from .rule_id import Holds, Rule

    rule = getattr(module, "RULE", None)
    if not isinstance(rule, Rule):
        is_there = "its RULE is not a collectivelint.rule.Rule" if rule is not None else "it has no RULE"
        return f"{is_there}: RULE = Rule(code, name, summary)"
    if not isinstance(rule.code, str) or not _CODE.fullmatch(rule.code) or rule.code.startswith("ALL"):
        return f"its code {rule.code!r} has to be capital letters and a number, like XY101"
    if not isinstance(rule.name, str) or not _NAME.fullmatch(rule.name):
        return f"the name {rule.name!r} of {rule.code} has to be words joined by hyphens, like lonely-barrier"
    kinds = {"summary": str, "default": bool, "last": bool}
    if not all(isinstance(getattr(rule, key), kind) for key, kind in kinds.items()):
        return f"in the RULE of {rule.code}, `summary` has to be a string, `default` and `last` True or False"
    if rule.holds not in get_args(Holds):
        there = ", ".join(map(repr, get_args(Holds)))
        return f"in the RULE of {rule.code}, `holds` is {rule.holds!r}; there are {there}"
    if not callable(getattr(module, "check", None)):
        return f"{rule.code} has no function `check(findings)`"
    for what, name in (("code", rule.code), ("name", rule.name)):
        if name in owners:
            return f"its {what} {name} is taken by a rule of {owners[name]}"
    return ""


def checked(reports: Iterator[object]) -> Iterator[Report]:
    """The reports of a plugin; raise TypeError at one that is malformed."""
    from .findings.confidence import Confidence
    from .rule import Report

    for report in reports:
        if not isinstance(report, Report):
            raise TypeError(f"`check` yields {type(report).__name__}, not collectivelint.rule.Report")
        texts = ("path", "function", "message", "help", "root")
        wrong = next((name for name in texts if not isinstance(getattr(report, name), str)), None)
        if wrong is not None:
            raise TypeError(f"the `{wrong}` of a report is {type(getattr(report, wrong)).__name__}, not a string")
        if str(report.severity) not in ("error", "warning"):
            raise TypeError(f"the `severity` of a report is {report.severity!r}, not 'error' or 'warning'")
        if not isinstance(report.confidence, Confidence):
            raise TypeError(
                f"the `confidence` of a report is {report.confidence!r}, not a collectivelint.api.Confidence"
            )
        yield report


def fingerprint() -> Iterator[str]:
    """Texts that change when a plugin is installed, removed, or changed on the disk; nothing is imported."""
    for entry in _entries():
        yield f"{entry.name} {entry.value} {_distribution(entry)}"
        for file in sorted(_files(entry.module)):
            stat = file.stat()
            yield f"{file} {stat.st_size} {stat.st_mtime_ns}"


def _entries() -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: (_distribution(entry), entry.name, entry.value))


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unnamed distribution"


def _files(module: str) -> Iterator[Path]:
    """The source files of a module: its whole package, or, for a module in a package, all files beside it."""
    top, _, rest = module.partition(".")
    try:
        # A top-level module is found without importing anything.
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        yield from (Path(spec.origin),) if spec.origin is not None and Path(spec.origin).is_file() else ()
        return
    for location in spec.submodule_search_locations:
        folder = Path(location, *rest.split(".")) if rest else Path(location)
        found = folder.rglob("*") if folder.is_dir() else folder.parent.glob("*")
        yield from (file for file in found if file.suffix in (".py", ".toml") and file.is_file())
