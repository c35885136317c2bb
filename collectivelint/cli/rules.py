"""`collectivelint rule` and `collectivelint rules`: the documentation of the rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..registry import discover, problems
from ..selectors import suggestion
from .markdown import show

if TYPE_CHECKING:
    from ..rule import RuleModule


@click.command()
@click.argument("code")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rule(code: str, output_format: str) -> None:
    """Explain one rule, by code (CL201) or name (rank-conditional)."""
    found = _discovered()
    module = next((item for item in found.values() if code.upper() == item.RULE.code or code == item.RULE.name), None)
    if module is None:
        raise click.UsageError(f"no rule `{code}`" + suggestion(code, [item.RULE for item in found.values()]))
    if output_format == "json":
        click.echo(json.dumps(_as_dict(module), indent=2))
        return
    show(f"# {module.RULE.code} {module.RULE.name}\n\n{_page(module)}")


@click.command()
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
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
        click.echo(f"{item.code}  {item.name:<{width}}  {item.summary}{fix}{extended}")


def _discovered() -> dict[str, RuleModule]:
    """All rules; plugins that cannot be used are named."""
    found = discover()
    for problem in problems():
        click.echo(f"warning: {problem}", err=True)
    return found


def _page(module: RuleModule) -> str:
    return (module.__doc__ or "").strip()


def _as_dict(module: RuleModule) -> dict[str, Any]:
    item = module.RULE
    return {
        "code": item.code,
        "name": item.name,
        "summary": item.summary,
        "default": item.default,
        "fix": item.fix,
        "explanation": _page(module),
    }
