"""Reports a suppression comment that suppresses no finding.

## What it does
Looks at every `# collectivelint: ignore[...]`, `ignore-file[...]` and `disable[...]` of the linted files. A comment
that suppressed no finding of this run is reported, and so are each code in its list that was not needed, and an
`enable` that ends nothing. Codes of rules that are switched off are not reported.

## Why is this bad
A suppression that outlives its reason hides the next bug on that line.

## Example
```python
import torch.distributed as dist


def finish(group: dist.ProcessGroup) -> None:
    dist.barrier(group=group)  # collectivelint: ignore[CL101]  # CL001
```

## Use instead
```python
import torch.distributed as dist


def finish(group: dist.ProcessGroup) -> None:
    dist.barrier(group=group)
```

## Fix safety
Safe: only the comment changes.

## References
- [Suppressing findings](https://docs.astral.sh/ruff/linter/#error-suppression), the convention this follows
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from collectivelint.api import Fix, Report, Rule, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, FixBuilder, Ignore, Source


RULE: Final = Rule("CL001", "unused-ignore", "a suppression comment that suppresses no finding", fix="safe", last=True)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each comment with codes that silenced nothing."""
    for source, ignore, codes in findings.unused_ignores():
        what = f"[{', '.join(codes)}]" if codes else ""
        line = source.line(ignore.line)
        start, end = len(line[: ignore.column].encode()), len(line[: ignore.end_column].encode())
        span = Span(ignore.line, start, ignore.line, end)
        does = "ended" if ignore.kind == "enable" else "silenced"
        if ignore.unclosed:
            message = f"nothing is {does} by `{ignore.kind}`: the list behind it has no `]`"
            yield Report(source.path, span, span, "", message, "warning")
            continue
        message = f"nothing is {does} by `{ignore.kind}{what}`: remove it"
        yield Report(source.path, span, span, "", message, "warning", fix=_builder(ignore, codes))


def _builder(ignore: Ignore, unused: tuple[str, ...]) -> FixBuilder:
    return lambda context: _fix(context.source, ignore, unused)


def _fix(source: Source, ignore: Ignore, unused: tuple[str, ...]) -> Fix:
    from collectivelint.api import edit

    start = source.offset(ignore.line, ignore.column)
    end = source.offset(ignore.line, ignore.end_column)
    kept = [code for code in ignore.codes if code not in unused]
    if kept:
        text = source.text[start:end]
        changed = re.sub(r"\[[^\]]*\]", f"[{', '.join(kept)}]", text)
        return Fix("safe", "Remove the codes that are not needed", (edit(source, start, end, changed),))
    line = source.line(ignore.line)
    rest = line[ignore.end_column :]
    before = line[: ignore.column].rstrip()
    line_start = source.starts[ignore.line - 1]
    # A reason behind the brackets goes with the comment; another comment behind it stays.
    next_comment = rest.find("#")
    end = end + next_comment if next_comment >= 0 else line_start + len(line)
    start = start if next_comment >= 0 else line_start + len(before)
    if not before and next_comment < 0:
        # Nothing else stands on the line: take its line ending along.
        end = source.starts[ignore.line] if ignore.line < len(source.starts) else len(source.text)
        start = line_start
    return Fix("safe", "Remove the comment", (edit(source, start, end, ""),))
