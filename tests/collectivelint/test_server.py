"""The language server over its own protocol: a client starts it, opens files, changes them and asks."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pygls")

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_HELPER = "import torch.distributed as dist\n\n\ndef meet():\n    dist.barrier(group=dist.group.WORLD)\n"
_MAIN = """\
import torch.distributed as dist
from helper import meet


def save(group: dist.ProcessGroup, name: str):
    if dist.get_rank() == 0:
        print("😀 ä"); meet()
    dist.all_reduce(name)
    assert dist.is_initialized()
"""
_LONGEST = 60


class Editor:
    """A client with one workspace."""

    def __init__(self, root: Path, encodings: list[str] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.root, self.encodings, self.arguments = root, encodings, arguments
        self.client = LanguageClient("editor", "1")
        self.news: asyncio.Queue[lsp.PublishDiagnosticsParams] = asyncio.Queue()
        self.since: dict[tuple[str, int | None], list[lsp.Diagnostic]] = {}
        self.messages: list[str] = []
        self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda params: self.news.put_nowait(params))
        self.client.feature(lsp.WINDOW_SHOW_MESSAGE)(lambda params: self.messages.append(params.message))

    async def start(self) -> None:
        await self.client.start_io(sys.executable, "-m", "collectivelint", "server", *self.arguments, cwd="/")
        general = lsp.GeneralClientCapabilities(position_encodings=self.encodings)  # type: ignore[arg-type]
        await self.client.initialize_async(
            lsp.InitializeParams(
                capabilities=lsp.ClientCapabilities(general=general),
                workspace_folders=[lsp.WorkspaceFolder(self.root.as_uri(), "project")],
                root_uri=self.root.as_uri(),
            )
        )
        self.client.initialized(lsp.InitializedParams())

    async def stop(self) -> None:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await self.client.stop()

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    async def open(self, name: str, text: str | None = None) -> list[lsp.Diagnostic]:
        text = (self.root / name).read_text() if text is None else text
        item = lsp.TextDocumentItem(self.uri(name), "python", 1, text)
        self.since.clear()
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return await self.diagnostics(name, 1)

    async def change(self, name: str, version: int, text: str) -> list[lsp.Diagnostic]:
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        document = lsp.VersionedTextDocumentIdentifier(version, self.uri(name))
        self.since.clear()
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        return await self.diagnostics(name, version)

    async def diagnostics(self, name: str, version: int | None) -> list[lsp.Diagnostic]:
        """Those of a file since something was opened or changed."""
        while (self.uri(name), version) not in self.since:
            news = await asyncio.wait_for(self.news.get(), _LONGEST)
            self.since[news.uri, news.version] = list(news.diagnostics)
        return self.since.pop((self.uri(name), version))

    async def actions(self, name: str, line: int, *only: str) -> list[lsp.CodeAction]:
        place = lsp.Range(lsp.Position(line, 0), lsp.Position(line, 0))
        context = lsp.CodeActionContext([], list(only) or None)  # type: ignore[arg-type]
        found = await self.client.text_document_code_action_async(
            lsp.CodeActionParams(lsp.TextDocumentIdentifier(self.uri(name)), place, context)
        )
        return [item for item in found or [] if isinstance(item, lsp.CodeAction)]

    async def hover(self, name: str, line: int, character: int) -> str:
        params = lsp.HoverParams(lsp.TextDocumentIdentifier(self.uri(name)), lsp.Position(line, character))
        found = await self.client.text_document_hover_async(params)
        return found.contents.value if found is not None and isinstance(found.contents, lsp.MarkupContent) else ""


def _session(root: Path, talk: Callable[[Editor], Awaitable[None]], **options: Any) -> Editor:
    editor = Editor(root, **options)

    async def run() -> None:
        await editor.start()
        try:
            await asyncio.wait_for(talk(editor), _LONGEST)
        finally:
            await editor.stop()

    asyncio.run(run())
    return editor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "helper.py").write_text(_HELPER)
    (tmp_path / "main.py").write_text(_MAIN)
    return tmp_path


def _apply(text: str, action: lsp.CodeAction) -> str:
    assert action.edit is not None
    assert action.edit.document_changes is not None
    lines = text.splitlines(keepends=True)
    for change in action.edit.document_changes:
        assert isinstance(change, lsp.TextDocumentEdit)
        for edit in reversed(change.edits):
            assert isinstance(edit, lsp.TextEdit)
            start, end = edit.range.start, edit.range.end
            assert start.line == end.line
            # The test's texts before an edit are ASCII, so units are characters.
            line = lines[start.line]
            lines[start.line] = line[: start.character] + edit.new_text + line[end.character :]
    return "".join(lines)


@pytest.mark.parametrize(
    ("encodings", "column"),
    [(None, 23), (["utf-32"], 22), (["utf-8", "utf-16"], 26)],
    ids=["utf-16", "utf-32", "utf-8"],
)
def test_diagnostics_with_their_trail(root: Path, encodings: list[str] | None, column: int) -> None:
    async def talk(editor: Editor) -> None:
        found = await editor.open("main.py")
        assert [(item.code, item.range.start.line) for item in found] == [("CL201", 6), ("CL101", 7)]
        conditional, missing = found
        assert conditional.code_description is not None
        assert conditional.code_description.href.endswith("/rules/rank_conditional.py")
        assert conditional.range.start.character == column
        assert (conditional.source, conditional.severity) == ("collectivelint", lsp.DiagnosticSeverity.Error)
        assert "help: " in missing.message
        related = [
            (item.location.uri, item.location.range.start.line) for item in conditional.related_information or ()
        ]
        assert (editor.uri("helper.py"), 4) in related
        assert (editor.uri("main.py"), 5) in related

    _session(root, talk, encodings=encodings)


def test_unsaved_changes_here_and_in_other_files(root: Path) -> None:
    async def talk(editor: Editor) -> None:
        await editor.open("main.py")
        fixed = _MAIN.replace("    dist.all_reduce(name)", "    dist.all_reduce(name, group=group)")
        assert [item.code for item in await editor.change("main.py", 2, fixed)] == ["CL201"]
        # The function that it calls meets nobody any more, as far as the editor knows; the file still says otherwise.
        await editor.open("helper.py")
        await editor.change("helper.py", 2, "def meet():\n    pass\n")
        assert await editor.diagnostics("main.py", 2) == []
        broken = await editor.change("main.py", 3, "import torch\ndef save(:\n")
        assert [(item.code, item.range.start.line) for item in broken] == [("CL000", 1)]
        document = lsp.TextDocumentIdentifier(editor.uri("main.py"))
        editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(document))
        assert await editor.diagnostics("main.py", None) == []

    _session(root, talk)
    assert (root / "main.py").read_text() == _MAIN


def test_quick_fixes(root: Path) -> None:
    async def talk(editor: Editor) -> None:
        await editor.open("main.py")
        use, ignore = await editor.actions("main.py", 7)
        assert use.title == "CL101: Use the group in reach: `group` (parameter) (unsafe)"
        assert not use.is_preferred
        assert "dist.all_reduce(name, group=group)\n" in _apply(_MAIN, use)
        assert "dist.all_reduce(name)  # collectivelint: ignore[CL101]\n" in _apply(_MAIN, ignore)
        assert await editor.actions("main.py", 0) == []
        # Fixes of a text that is not there any more are not offered.
        document = lsp.VersionedTextDocumentIdentifier(2, editor.uri("main.py"))
        whole = lsp.TextDocumentContentChangeWholeDocument(f"\n{_MAIN}")
        editor.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        assert await editor.actions("main.py", 7) == []

    _session(root, talk)


def test_all_safe_fixes_at_once(root: Path) -> None:
    text = (
        "import torch.distributed as dist\n\n\ndef f(group: dist.ProcessGroup, out, x):\n"
        "    dist._all_gather_base(out, x, group)\n    dist._all_gather_base(x, out, group)\n    dist.barrier()\n"
    )
    (root / "main.py").write_text(text)
    (root / "newer.py").write_text("import torch.distributed as dist\n\ngather = dist.all_gather_into_tensor\n")

    async def talk(editor: Editor) -> None:
        await editor.open("main.py")
        (every,) = await editor.actions("main.py", 0, "source.fixAll")
        fixed = _apply(text, every)
        assert fixed == text.replace("_all_gather_base", "all_gather_into_tensor")
        assert [item.title for item in await editor.actions("main.py", 0, "refactor")] == []

    _session(root, talk)


def test_a_suggestion_is_no_fix(root: Path) -> None:
    text = (
        "import random\n\nimport torch.distributed as dist\n\n\ndef f(group: dist.ProcessGroup, x):\n"
        "    if random.random() < 0.1:\n        dist.all_reduce(x, group=group)\n"
    )
    (root / "main.py").write_text(text)

    async def talk(editor: Editor) -> None:
        (found,) = await editor.open("main.py")
        assert found.code == "CL203"
        assert "suggestion: Decide on one rank" in found.message
        assert [item.title for item in await editor.actions("main.py", 7)] == ["CL203: ignore on this line"]
        assert await editor.actions("main.py", 7, "source.fixAll") == []

    _session(root, talk)


def test_hover(root: Path) -> None:
    async def talk(editor: Editor) -> None:
        await editor.open("main.py")
        call = await editor.hover("main.py", 6, 25)
        assert call.startswith("**barrier** on the default group\\\nthrough `meet` (helper.py:5)\\\n")
        assert "only ranks if `dist.get_rank() == 0`" in call
        assert "rules/rank_conditional.py) rank-conditional: a collective that" in call
        assert len(call) < 600
        collective = await editor.hover("main.py", 7, 10)
        assert "every rank that calls this function" in collective
        assert "Afterwards `tensor` is the same on every rank of the group." in collective
        assert await editor.hover("main.py", 0, 3) == ""

    _session(root, talk)


def test_hover_over_what_cannot_be_parsed(root: Path) -> None:
    async def talk(editor: Editor) -> None:
        (found,) = await editor.open("main.py", "import torch\ndef main(:\n    pass\n")
        assert found.code == "CL000"
        assert "CL000" in await editor.hover("main.py", 1, 9)
        assert await editor.hover("main.py", 2, 5) == ""

    assert _session(root, talk).messages == []


def test_what_is_left_out(root: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.collectivelint]\nexclude = ["main.py"]\n')

    async def talk(editor: Editor) -> None:
        assert await editor.open("main.py", _MAIN) == []

    assert _session(root, talk).messages == []


def test_a_broken_configuration_is_said_and_nothing_is_linted(root: Path) -> None:
    config = root / "pyproject.toml"
    config.write_text("[tool.collectivelint]\nselct = []\n")

    async def talk(editor: Editor) -> None:
        (found,) = await editor.open("main.py", _MAIN)
        assert found.range == lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        assert f"{config.resolve()}:2: unknown key `selct`; did you mean `select`?" in found.message
        assert "CL000" in await editor.hover("main.py", 0, 0)
        assert await editor.hover("main.py", 6, 20) == ""
        config.write_text('[tool.collectivelint]\nselect = ["CL201"]\n')
        assert [item.code for item in await editor.change("main.py", 2, f"{_MAIN}\n")] == ["CL201"]

    (message,) = _session(root, talk).messages
    assert message == f"collectivelint: {config.resolve()}:2: unknown key `selct`; did you mean `select`?"


def test_another_confidence_than_the_configuration_has(root: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.collectivelint]\nmin-confidence = "high"\n')
    text = "import torch.distributed as dist\n\n\ndef f(x):\n    dist.all_reduce(x)\n"

    async def talk(editor: Editor) -> None:
        assert [item.code for item in await editor.open("new.py", text)] == ["CL101"]

    _session(root, talk, arguments=("--min-confidence", "low"))


def test_a_new_file_that_is_not_on_the_disk(root: Path) -> None:
    async def talk(editor: Editor) -> None:
        found = await editor.open("new.py", _MAIN)
        assert [item.code for item in found] == ["CL201", "CL101"]

    _session(root, talk)
