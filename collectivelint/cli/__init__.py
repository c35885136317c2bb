"""The command line. Commands are named as strings and imported when they are called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .. import __version__
from ..spelling import nearest
from .sections import write_tasks

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Command -> where it lives and its line in `--help`. Those of the runtime need torch only in the job itself.
COMMANDS: Final = {
    "check": ("collectivelint.cli.check:check", "Lint Python files and folders (the default command)."),
    "rule": ("collectivelint.cli.rules:rule", "Explain one rule."),
    "rules": ("collectivelint.cli.rules:rules", "List all rules."),
    "catalog": ("collectivelint.cli.catalog:catalog", "Show or extend the catalogue of frameworks."),
    "config": ("collectivelint.cli.config:config", "List the keys of the configuration."),
    "server": ("collectivelint.cli.server:server", "Run the language server for editors."),
    "mcp": ("collectivelint.cli.mcp:mcp", "Run the MCP server for assistants."),
    "trace": ("collectivelint.runtime.cli:trace", "Run a real job under the tracer."),
    "watch": ("collectivelint.runtime.cli:watch_command", "Compare the ranks of a running job."),
    "report": ("collectivelint.runtime.cli:report", "Explain what a traced job did."),
    "sql": ("collectivelint.runtime.afterwards.tables.sql:sql", "Query the calls of a traced job with SQL."),
    "ckpt": ("collectivelint.runtime.checkpoint.cli:ckpt", "Verify, list or compare checkpoints."),
    "confirm": (
        "collectivelint.runtime.afterwards.confirm_cli:confirm",
        "Mark the findings that a traced job confirms.",
    ),
}


_TASKS: Final = {
    "collectivelint src/": "find collectives that can hang",
    "collectivelint --fix src/": "apply the safe fixes",
    "collectivelint trace -- torchrun train.py": "find ranks that diverge in a real job",
    "collectivelint report collectivelint-trace": "explain the trace of that job again",
    "collectivelint confirm src/ --trace DIR": "mark the findings that the job confirms",
    "collectivelint ckpt verify DIR": "check that a checkpoint is complete and unchanged",
    "collectivelint COMMAND --help": "list the options of a command",
}


#: What other tools call it, or what stands below another command.
_ELSEWHERE: Final = {
    "explain": "rule",
    "lint": "check",
    "run": "trace",
    "lsp": "server",
    **{name: f"ckpt {name}" for name in ("verify", "diff", "inspect")},
}


class Commands(click.Group):
    """A command group that imports a command when it is used, and runs `check` if none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which users need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and the options of `check`, which need not be named; where there is neither, files."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        check = self.get_command(ctx, "check")
        if incomplete.startswith("-") and check is not None:
            return found + check.shell_complete(click.Context(check, parent=ctx, info_name="check"), incomplete)
        # Beside a file, bash shows no command.
        return found or [CompletionItem(incomplete, type="file")]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The most common tasks."""
        del ctx
        write_tasks(formatter, _TASKS)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`collectivelint --fix src/` means `collectivelint check --fix src/`."""
        if not args and ctx.resilient_parsing:
            # A shell completes the first word: it may become a command.
            return super().parse_args(ctx, args)
        if args and args[0] not in COMMANDS:
            _refuse_mistyped(args[0])
        if not args or (args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version")):
            args = ["check", *args]
        return super().parse_args(ctx, args)


def _refuse_mistyped(word: str) -> None:
    """Raise UsageError for a word that is neither a file nor a command but resembles one, or is a known synonym."""
    if word.startswith("-") or os.path.lexists(word):
        return
    near = f"; did you mean `{_ELSEWHERE[word]}`?" if word in _ELSEWHERE else nearest(word, COMMANDS, 0.6)
    if near:
        raise click.UsageError(f"no such file or command `{word}`{near}")


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the version, and whether the hot modules are machine code."""
    del parameter
    if value and not ctx.resilient_parsing:
        from ..compiled import is_compiled

        click.echo(f"collectivelint, version {__version__}{' (compiled)' if is_compiled() else ''}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Find the collectives that hang distributed PyTorch jobs: before the run, during it, and after it."""


#: What writing to a standard stream fails with: a full disk or quota, a device that is gone, a stream that is closed.
_OUTPUT_FAILS: Final = frozenset(
    {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EBADF, getattr(errno, "EDQUOT", errno.ENOSPC)}
)


def main() -> None:
    """The console script. Exit codes: 0 clean, 1 findings, 2 usage or internal error."""
    _open_closed()
    try:
        cli.main(prog_name="collectivelint")
    except BrokenPipeError:
        # `collectivelint | head`: the reader has closed the pipe.
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno == errno.ENOENT and error.filename is None and not _has_folder():
            click.echo("error: the current folder does not exist any more", err=True)
            sys.exit(2)
        if error.errno not in _OUTPUT_FAILS or error.filename is not None:
            raise
        with suppress(OSError):
            click.echo(f"error: the output cannot be written: {error.strerror}", err=True)
        _drop_output()
        sys.exit(2)


def _has_folder() -> bool:
    """Whether the current folder exists: another process may have removed it."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _open_closed() -> None:
    """Replace a closed output stream (`>&-`), for which Python has None, with the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for as long as we run


def _drop_output() -> None:
    """Discard what is left in the output buffers: Python flushes them at exit, and would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
