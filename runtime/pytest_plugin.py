"""For pytest: the fixture `collective_trace`, which runs a function on several ranks and fails if they diverge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def collective_trace() -> Callable[..., list[Any]]:
    """Run a function on several ranks under the tracer: `collective_trace(save, 4, args=(tmp_path,))`.

    Returns what each rank returned. The test fails with both call sites if the ranks diverge, and with the traceback if
    one of them raises. See `collectivelint.runtime.testing.run_ranks` for all arguments.
    """
    from .testing import DivergenceError, RankError, run_ranks

    def run(function: Callable[..., Any], ranks: int = 2, **options: Any) -> list[Any]:
        __tracebackhide__ = True
        try:
            return run_ranks(function, ranks, **options)
        except (DivergenceError, RankError) as error:
            pytest.fail(str(error), pytrace=False)

    return run
