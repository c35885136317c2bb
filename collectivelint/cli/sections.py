"""`--help` in sections, with the common tasks at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sectioned(click.Command):
    """A command whose options are listed by topic; options without a section come last."""

    def __init__(
        self, *args: Any, sections: Mapping[str, tuple[str, ...]], tasks: Mapping[str, str], **kwargs: Any
    ) -> None:
        """`sections`: heading -> names of options. `tasks`: what to type -> what it does."""
        super().__init__(*args, **kwargs)
        self._sections, self._tasks = sections, tasks

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept an optional value of an option only after `=`: click would take the next word, which is a path."""
        alone = {
            name
            for param in self.params
            if isinstance(param, click.Option) and param.flag_value == ""
            for name in param.opts
        }
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [f"{arg}=" if arg in alone else arg for arg in args[:end]] + args[end:])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options by section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        rows = {option.name: row for option in options if (row := option.get_help_record(ctx)) is not None}
        for heading, names in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([rows.pop(name) for name in names])
        with formatter.section("Other"):
            formatter.write_dl(list(rows.values()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The tasks."""
        del ctx
        write_tasks(formatter, self._tasks)


def write_tasks(formatter: click.HelpFormatter, tasks: Mapping[str, str]) -> None:
    """Write a section of common tasks, each with the command that does it."""
    with formatter.section("Common tasks"):
        formatter.write_dl(list(tasks.items()), col_max=44)
