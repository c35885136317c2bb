"""`collectivelint rule` and `collectivelint rules`: the documentation of the rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..registry import discover, problems
from ..selectors import suggestion
from .markdown import show
from .words import Word, rule_words

if TYPE_CHECKING:
    from ..rule import RuleModule


@click.command()
@click.argument("code", required=False, shell_complete=rule_words)
@click.option("--all", "every", is_flag=True, help="Explain all rules.")
@click.option("--output-format", type=Word(["text", "json"]), default="text", show_default=True)
def rule(code: str | None, every: bool, output_format: str) -> None:
    """Explain one rule, by code (CL201) or name (rank-conditional)."""
    if (code is None) is not every:
        raise click.UsageError("name one rule, as in `collectivelint rule CL201`, or --all")
    found = _discovered()
    if code is None:
        if output_format == "json":
            click.echo(json.dumps([_as_dict(module) for module in found.values()], indent=2))
            return
        click.echo("\n\n".join(map(_titled, found.values())))
        return
    module = next((item for item in found.values() if code.upper() == item.RULE.code or code == item.RULE.name), None)
    if module is None:
        below = [item.RULE.code for item in found.values() if code and item.RULE.code.startswith(code.upper())]
        hint = (
            f"; name one of {', '.join(below)}" if below else suggestion(code, [item.RULE for item in found.values()])
        )
        raise click.UsageError(f"no rule `{code}`{hint}")
    if output_format == "json":
        click.echo(json.dumps(_as_dict(module), indent=2))
        return
    show(_titled(module))


@click.command()
@click.option("--output-format", type=Word(["text", "json"]), default="text", show_default=True)
def rules(output_format: str) -> None:
    """List all rules."""
    found = list(_discovered().values())
    if output_format == "json":
        click.echo(json.dumps([_as_dict(module) for module in found], indent=2))
        return
    width = max(len(module.RULE.name) for module in found)
    for module in found:
        item = module.RULE
        fix = f"  (fix: {item.fix})" if item.fix else ""
        extended = "" if item.default else "  [extended]"
        preview = "  [preview]" if item.preview else ""
        click.echo(f"{item.code}  {item.name:<{width}}  {item.summary}{fix}{extended}{preview}")


def _discovered() -> dict[str, RuleModule]:
    """All rules; prints a warning for each plugin that cannot be used."""
    found = discover()
    for problem in problems():
        click.echo(f"warning: {problem}", err=True)
    return found


def _titled(module: RuleModule) -> str:
    return f"# {module.RULE.code} {module.RULE.name}\n\n{_page(module)}"


def _page(module: RuleModule) -> str:
    return (module.__doc__ or "").strip()


def _as_dict(module: RuleModule) -> dict[str, Any]:
    item = module.RULE
    return {
        "code": item.code,
        "name": item.name,
        "summary": item.summary,
        "default": item.default,
        "preview": item.preview,
        "fix": item.fix,
        "explanation": _page(module),
    }
