"""The MCP server: its tools, and the one thread in which they run."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Concatenate, Final, Literal, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from .. import __version__
from . import runs, sources
from .calls import Call
from .results import AnalysisText, CheckpointReport, Findings, RuleText, TraceReport  # noqa: TC001  # read by the SDK
from .roots import RequestError, Roots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

P = ParamSpec("P")
T = TypeVar("T")

#: Deep expressions are walked recursively, which the small stack of a thread would not bear.
_STACK: Final = 512 * 1024 * 1024
_INSTRUCTIONS: Final = (
    "Checks PyTorch code that uses torch.distributed: finds collectives that hang because not every rank reaches them, or "
    "because they run on the wrong group. Lint code after writing it; explain a rule before changing code because of it. "
    "All tools are read-only."
)
_READS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

_Confidence = Literal["high", "medium", "low"]
_Paths = Annotated[
    list[str], Field(description="Files and folders; relative ones are below the server's first folder.")
]
_Limit = Annotated[int, Field(ge=1, le=1000, description="At most this many are returned; the count includes all.")]


def serve(paths: Sequence[Path]) -> None:
    """Answer a client on the standard input and output until it leaves. It may ask about `paths` only."""
    roots = Roots(paths)
    first = paths[0].resolve()
    # Paths are given and shown relative to the first folder.
    os.chdir(first if first.is_dir() else first.parent)
    threading.stack_size(_STACK)
    thread = ThreadPoolExecutor(1, "tool")
    server = MCPServer("collectivelint", instructions=_INSTRUCTIONS, version=__version__, log_level="ERROR")
    # Not in the project, where nothing is written.
    folder = tempfile.TemporaryDirectory(prefix="collectivelint-", ignore_cleanup_errors=True)

    def end(*_: object) -> None:
        # At once: an analysis that still runs would be waited for.
        folder.cleanup()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)

    async def answer(tool: Callable[Concatenate[Call, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a tool, one call at a time; what cannot be answered is an error that the client reads."""
        call = Call(Path(folder.name))
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, partial(tool, call, *args, **kwargs))
        except asyncio.CancelledError:
            # The SDK cancels the coroutine; the thread has to be told.
            call.cancelled.set()
            raise
        except RequestError as error:
            raise ToolError(str(error)) from None
        except Exception as error:  # the server lives on; the next request may be another one
            raise ToolError(f"internal error: {type(error).__name__}: {error}; please report it") from None

    @server.tool(annotations=_READS)
    async def lint(
        paths: _Paths = [],  # noqa: B006  # read only
        source: Annotated[str | None, Field(description="A text to lint instead of files.")] = None,
        filename: Annotated[
            str, Field(description="The file that the text belongs to: imports are resolved from there.")
        ] = "",
        select: Annotated[list[str], Field(description="Only these rules: CL201, CL2, ALL.")] = [],  # noqa: B006
        min_confidence: _Confidence | None = None,
        limit: _Limit = 50,
    ) -> Findings:
        """Find collectives that hang or lose data, in files and folders, or in a text (`source`). Nothing is changed."""
        chosen = paths or ([] if source is not None else ["."])
        return await answer(sources.lint, roots, chosen, source, filename, select, min_confidence, limit)

    @server.tool(annotations=_READS)
    async def explain(rule: Annotated[str, Field(description="CL201 or rank-conditional")]) -> RuleText:
        """Explain a rule: what it reports, why that is wrong, an example of both, how to fix it."""
        return await answer(sources.explain, rule)

    @server.tool(annotations=_READS)
    async def show_analysis(
        function: Annotated[str, Field(description="save, or Trainer.save")],
        paths: _Paths = ["."],  # noqa: B006
    ) -> AnalysisText:
        """List the collectives of a function in order, with the conditions and values that differ between ranks."""
        return await answer(sources.show_analysis, roots, function, paths)

    @server.tool(annotations=_READS)
    async def verify_checkpoint(
        path: Annotated[str, Field(description="Folder or file: DCP, safetensors, torch.save, DeepSpeed and others.")],
        consolidated: Annotated[
            str | None, Field(description="A consolidated file made from this checkpoint, to compare.")
        ] = None,
        world_size: Annotated[int | None, Field(ge=1, description="Check that this many ranks can load it.")] = None,
        headers_only: Annotated[bool, Field(description="Read metadata and headers only: fast.")] = False,
        limit: _Limit = 50,
    ) -> CheckpointReport:
        """Check that a checkpoint is complete, undamaged and of one save. Nothing in it is executed."""
        verify = partial(runs.verify_checkpoint, headers_only=headers_only, limit=limit)
        return await answer(verify, roots, path, consolidated, world_size)

    @server.tool(annotations=_READS)
    async def read_trace(
        path: Annotated[str, Field(description="Folder of `collectivelint trace`, or of Flight Recorder dumps.")],
    ) -> TraceReport:
        """Read a traced run: whether its ranks diverged, at which call, and the stack of each side."""
        return await answer(runs.read_trace, roots, path)

    try:
        server.run("stdio")
    except Exception as error:
        if not _is_broken_pipe(error):
            raise
        # The client has left while it was being answered.
        raise BrokenPipeError from None
    finally:
        folder.cleanup()


def _is_broken_pipe(error: BaseException) -> bool:
    """Whether the exception is a BrokenPipeError, or a group of nothing else."""
    inside = getattr(error, "exceptions", None)
    return isinstance(error, BrokenPipeError) if inside is None else all(map(_is_broken_pipe, inside))
