"""Pages that are made from the code: one for each rule, and the list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mkdocs.structure.files import File

from collectivelint.registry import discover

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The rules' place in the navigation."""
    pages = [{f"{code} {module.RULE.name}": f"rules/{code}.md"} for code, module in discover().items()]
    config.nav = [*(config.nav or []), {"Rules": ["rules/index.md", *pages]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages themselves."""
    found = discover()
    for code, module in found.items():
        rule = module.RULE
        kind = "On by default." if rule.default else f"Not on by default: `--extend-select {code}`."
        fix = f" Fix: {rule.fix}." if rule.fix else ""
        text = f"# {code} {rule.name}\n\n{kind}{fix}\n\n{(module.__doc__ or '').strip()}\n"
        files.append(File.generated(config, f"rules/{code}.md", content=text))
    rows = "".join(
        f"| [{code}]({code}.md) | {module.RULE.name} | {module.RULE.summary} | {module.RULE.fix} |"
        f" {'' if module.RULE.default else 'no'} |\n"
        for code, module in found.items()
    )
    table = f"| code | name | reports | fix | default |\n|---|---|---|---|---|\n{rows}"
    files.append(File.generated(config, "rules/index.md", content=f"# Rules\n\n{table}"))
    return files
