"""A folder of files to lint, and findings compared with the comments that announce them."""

from __future__ import annotations

import io
import re
import signal
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings

from collectivelint.cli import COMMANDS, cli
from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence, confidence_of
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectivelint.engine import Result

# A shell in the background has it ignored, and so would every command that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Generated programs: some of them each time, all of them with `make test-all` (--hypothesis-profile).
settings.register_profile("all", max_examples=120, deadline=None, derandomize=True)
settings.register_profile("some", settings.get_profile("all"), max_examples=30)
settings.load_profile("some")

#: `dist.barrier()  # CL101`, `# CL101 CL201`, `# CL201: rank == 0`; a code twice means two findings on the line.
_MARKER: Final = re.compile(r"#\s*(CL\d{3}(?:[ ,]+CL\d{3})*)\s*(?::.*)?$")


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class Project:
    """The current folder of a test; paths of its files are shown relative to it."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def write(self, files: str | Mapping[str, str | bytes]) -> None:
        """Write files; a single text is `main.py`."""
        for name, content in ({"main.py": files} if isinstance(files, str) else files).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def text(self, name: str = "main.py") -> str:
        """A file as it is now, line endings untouched."""
        return (self.root / name).read_bytes().decode()

    def lint(self, *paths: str, **settings: Any) -> Result:
        """Lint the folder, or some of its files, with these settings alone; findings of every confidence by default."""
        overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        overrides = {"min_confidence": Confidence.LOW, **overrides}
        return Linter(Resolver(overrides, isolated=True)).run([Path(path) for path in paths or (".",)])

    def found(self, *paths: str, **settings: Any) -> list[tuple[str, int, str]]:
        """What linting finds: (file, line, code)."""
        result = self.lint(*paths, **settings)
        assert result.errors == []
        return sorted((finding.path, finding.location.row, finding.code) for finding in result.findings)

    def run(self, *args: str) -> Ran:
        """Run the command line in this process; `check` shows findings of every confidence unless `args` say otherwise.

        The shortest code with a finding, a barrier without a group, has one of low confidence.
        """
        lints = not args or args[0] == "check" or args[0] not in (*COMMANDS, "--help", "-h", "--version")
        if lints and "--min-confidence" not in args:
            end = args.index("--") if "--" in args else len(args)
            args = (*args[:end], "--min-confidence", "low", *args[end:])
        return self.run_plainly(*args)

    def run_plainly(self, *args: str) -> Ran:
        """Run the command line in this process, with these arguments alone."""
        with pytest.raises(SystemExit) as caught:
            cli.main(list(args), prog_name="collectivelint")
        out, err = self.capture.readouterr()
        return Ran(int(caught.value.code or 0), out, err)

    def fix(self, *options: str, path: str = ".") -> Ran:
        """`collectivelint check --fix` with these options and no configuration."""
        return self.run("check", "--isolated", "--no-cache", "--fix", *options, path)

    def check_marked(self, files: str | Mapping[str, str], **settings: Any) -> None:
        """Write the files and lint them: exactly the marked lines are reported, at the confidence that users see."""
        settings["min_confidence"] = confidence_of(settings.get("min_confidence", "medium"))
        self.write(files)
        named = {"main.py": files} if isinstance(files, str) else files
        expected = Counter((name, line, code) for name, text in named.items() for line, code in markers(text))
        found = Counter(self.found(**settings))

        def shown(what: str, items: Counter[tuple[str, int, str]]) -> list[str]:
            return [f"{what}: {path}:{line} {code}  {named[path].splitlines()[line - 1]}" for path, line, code in items]

        if found != expected:
            pytest.fail("\n".join(shown("missed", expected - found) + shown("unexpected", found - expected)))


def markers(text: str) -> Iterator[tuple[int, str]]:
    """(line, code) for each code in a marker comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _MARKER.search(token.string)):
            for code in re.findall(r"CL\d{3}", match.group(1)):
                yield token.start[0], code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    """An empty project that is the current folder."""
    monkeypatch.chdir(tmp_path)
    # Its root, so that nothing above the folder is taken for a part of the program.
    (tmp_path / "pyproject.toml").touch()
    return Project(tmp_path, capsys)
