"""Reports a submodule that runs only if a rank's own batch has input for it.

## What it does
Looks at the methods of a module that call sub-modules with optional inputs (`if images is not None:
self.vision(images)`). If such a method replaces one missing input with a dummy pass of the sub-module, so that all
ranks run it, but does not do so for another input, the pass for that other input is reported.

A model without any dummy pass is not reported: its source does not show whether batches are mixed or the model is
sharded.

A loss that is a new constant if a mask of this rank selects nothing (`x.sum() if mask.sum() > 0 else
torch.tensor(0.0)`) is reported too, in functions that lead to a backward pass through the model: that rank computes
no gradients of the model, and the other ranks wait in the collectives of their backward pass.

## Why is this bad
FSDP and ZeRO gather the parameters of a sub-module when it runs, and reduce its gradients in the backward pass; both
are collectives. A rank whose batch has no images skips these collectives, and the other ranks wait for it.

## Example
```python
from torch import nn


class Tower(nn.Module):
    def forward(self, features):
        return features


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision = Tower()
        self.audio = Tower()

    def forward(self, tokens, images=None, sounds=None, dummy=None):
        if images is not None:
            tokens = tokens + self.vision(images)
        else:
            tokens = tokens + self.vision(dummy) * 0.0
        if sounds is not None:
            tokens = tokens + self.audio(sounds)  # CL209
        return tokens
```

## Use instead
A dummy pass in the other case too, whose result is multiplied by zero; or let the ranks agree (all_reduce of a flag)
whether any of them has input for the sub-module, and run it on all ranks if so.

## Confidence
Low: the source rarely shows whether the batch or the configuration decides which inputs exist.

## References
- [fully_shard](https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Confidence, Place, Report, Rule, lost_graphs, optional_passes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Analysis, Findings

RULE: Final = Rule(
    "CL209",
    "data-dependent-module",
    "a submodule that runs only if this rank's batch has input for it",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each pass that nothing makes up for, beside one that something does."""
    yield from _lost(findings)
    for facts in findings.analysis.functions:
        passes = optional_passes(findings.analysis.program, facts.function)
        made_up = next((found for found in passes if found.dummy is not None), None)
        if made_up is None or made_up.dummy is None:
            continue
        path = facts.function.path
        for found in passes:
            if found.dummy is None and found.given != made_up.given:
                yield Report(
                    path=path,
                    span=found.span,
                    statement=found.statement,
                    function=facts.function.qualname,
                    message=f"`{found.module}` runs only if this rank's batch has `{found.given}`; if it is sharded,"
                    " ranks that run it wait for the ranks that do not",
                    severity="error",
                    trail=(
                        Place(path, made_up.dummy, "note", f"replaces a missing `{made_up.given}`"),
                        Place(path, found.test, "condition", "condition"),
                        Place(path, found.span, "collective", f"the forward pass of `{found.module}`"),
                    ),
                    help="run it on a dummy input in the other case too, multiplied by zero, or decide on all ranks together",
                    confidence=Confidence.LOW,
                )


def _lost(findings: Findings) -> Iterator[Report]:
    """One finding for each function with a loss that does not come out of the model where nothing is selected."""
    analysis = findings.analysis
    for found in lost_graphs(analysis.functions, analysis.catalog.backward):
        path = found.facts.function.path
        if not _is_about_ranks(analysis, path):
            continue
        yield Report(
            path=path,
            span=found.constant,
            statement=found.statement,
            function=found.facts.function.qualname,
            message=f"this value is a constant if `{found.tensor}` selects nothing on this rank: if it is the loss, the"
            " backward pass of this rank skips the model, and the other ranks wait in its collectives",
            severity="error",
            trail=(
                Place(path, found.test, "condition", "condition"),
                Place(path, found.constant, "source", "not computed from the model's output"),
                Place(path, found.loss.span, "note", "becomes part of the loss here"),
            ),
            help="keep it computed from the model's output: `(x * mask).sum() / mask.sum().clamp(min=1)`",
            confidence=Confidence.LOW,
        )


def _is_about_ranks(analysis: Analysis, path: str) -> bool:
    """Whether a file imports something distributed, by its name, or a function of it does."""
    functions = analysis.program.functions(path).values()
    imported = [name for names in analysis.program.indexes[path].imports.values() for name in names]
    imported += [target for function in functions for _, target in function.imports]
    return any("distributed" in name.split(".") for name in imported)
