"""The language server: requests of the client and their answers. Linting runs in one thread beside it."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from .. import __version__
from ..finding import UNREADABLE
from ..fixes.apply import select
from ..fixes.ignores import with_ignores
from ..report.remedy import applied
from .convert import Converter, note, overlapping, uri
from .session import Linted, describe, lint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..finding import Finding
    from ..findings.confidence import Confidence

#: Seconds without a change before the text is linted.
_PAUSE: Final = 0.3
#: Deep expressions are walked recursively, which the small stack of a thread would not bear.
_STACK: Final = 512 * 1024 * 1024
_FIX_ALL: Final = "source.fixAll.collectivelint"


class Server(LanguageServer):
    """One client, one workspace."""

    def __init__(self, min_confidence: Confidence | None = None) -> None:
        """Nothing is linted before a file is opened. `min_confidence` overrides the configuration."""
        super().__init__("collectivelint", __version__)
        threading.stack_size(_STACK)
        self._thread = ThreadPoolExecutor(1, "linter")
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        #: Has something changed since the texts were last taken?
        self._stale = False
        self._min_confidence = min_confidence
        self._linted = Linted()
        self._versions: dict[str, int | None] = {}
        self._reported: set[str] = set()

    # -------------------------------------------------------------------------------------------------------- lint

    def changed(self, *, at_once: bool = False) -> None:
        """Some text has changed: lint once there are no more changes for a moment."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(0 if at_once else _PAUSE, self._due)

    def _due(self) -> None:
        self._stale = True
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._catch_up())

    async def _catch_up(self) -> None:
        """Lint until nothing has changed meanwhile: one run at a time, of the newest texts."""
        while self._stale:
            self._stale = False
            texts, versions = self._texts(), {doc.uri: doc.version for doc in self.workspace.text_documents.values()}
            try:
                linted = await asyncio.get_running_loop().run_in_executor(
                    self._thread, lint, texts, self._min_confidence
                )
            except Exception as error:  # the server lives on; the next change may be another one
                self._tell(f"internal error: {type(error).__name__}: {error}; please report it")
                continue
            self._linted, self._versions = linted, versions
            self._publish()

    def _publish(self) -> None:
        converter = self._converter()
        for address, version in self._versions.items():
            name = self._name(address)
            if name in self._linted.findings:
                diagnostics = [converter.diagnostic(finding) for finding in self._linted.findings[name]]
                self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(address, diagnostics, version))
        for problem in self._linted.problems:
            self._tell(problem)

    def _tell(self, problem: str) -> None:
        """Show a message to the user, once per session."""
        if problem not in self._reported:
            self._reported.add(problem)
            self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, f"collectivelint: {problem}"))

    def _texts(self) -> dict[Path, str]:
        """The open Python files with their texts, by path."""
        return {
            Path(path): doc.source
            for doc in self.workspace.text_documents.values()
            if doc.language_id == "python" and doc.uri.startswith("file:") and (path := to_fs_path(doc.uri)) is not None
        }

    def _converter(self) -> Converter:
        return Converter(self.workspace.position_encoding or lsp.PositionEncodingKind.Utf16.value, self._linted.line)

    def _name(self, address: str) -> str:
        """The path of a file as findings have it."""
        return next((name for name in self._linted.findings if uri(name) == _normal(address)), "")

    def _current(self, address: str) -> list[Finding]:
        """The findings of a document, if they are for its current text."""
        doc = self.workspace.get_text_document(address)
        if self._versions.get(address, -1) != doc.version:
            return []
        return self._linted.findings.get(self._name(address), [])

    # ------------------------------------------------------------------------------------------------------ questions

    async def hover(self, params: lsp.HoverParams) -> lsp.Hover | None:
        """The analysis of the call at this position, and a line for each rule that reports it."""
        address, linted = params.text_document.uri, self._linted
        path = Path(to_fs_path(address) or "")
        parts: list[str] = []
        place = self._place(address, params.position)
        if place is not None and path in linted.linters:
            loop = asyncio.get_running_loop()
            parts.append(await loop.run_in_executor(self._thread, describe, linted, path, *place))
        line = params.position.line + 1
        parts += dict.fromkeys(note(finding) for finding in overlapping(self._current(address), line, line))
        text = "\n\n---\n\n".join(part for part in parts if part)
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text)) if text else None

    def _place(self, address: str, position: lsp.Position) -> tuple[int, int] | None:
        source = self._linted.sources.get(self._name(address))
        if source is None or self._versions.get(address, -1) != self.workspace.get_text_document(address).version:
            return None
        return self._converter().characters(source, position)

    def actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """Fixes of the findings in a range, a comment that silences each, and all safe fixes of the file at once."""
        wanted = params.context.only
        address, current = params.text_document.uri, self._current(params.text_document.uri)
        found: list[lsp.CodeAction] = []
        if wanted is None or any(_is_within(lsp.CodeActionKind.QuickFix, kind) for kind in wanted):
            near = overlapping(current, params.range.start.line + 1, params.range.end.line + 1)
            found += self._quick(address, near)
        if wanted is not None and any(_is_within(_FIX_ALL, kind) for kind in wanted):
            chosen = select(current, unsafe=False)
            if chosen:
                title = "collectivelint: apply all safe fixes"
                found.append(self._action(address, title, chosen, _FIX_ALL))
        return found

    def _quick(self, address: str, findings: list[Finding]) -> Iterator[lsp.CodeAction]:
        converter = self._converter()
        for finding in findings:
            if (fix := applied(finding)) is not None:
                note = "" if fix.applicability == "safe" else " (unsafe)"
                action = self._action(
                    address, f"{finding.code}: {fix.message}{note}", [finding], lsp.CodeActionKind.QuickFix
                )
                action.diagnostics = [converter.diagnostic(finding)]
                action.is_preferred = fix.applicability == "safe"
                yield action
        for finding in findings:
            source = self._linted.sources[finding.path]
            edits, _ = with_ignores(source, [finding], "")
            if edits and finding.code != UNREADABLE:
                yield lsp.CodeAction(
                    f"{finding.code}: ignore on this line",
                    lsp.CodeActionKind.QuickFix,
                    [converter.diagnostic(finding)],
                    edit=self._edit(address, [converter.edit(finding.path, item) for item in edits]),
                )

    def _action(
        self, address: str, title: str, findings: list[Finding], kind: lsp.CodeActionKind | str
    ) -> lsp.CodeAction:
        converter = self._converter()
        edits = dict.fromkeys((finding.path, item) for finding in findings if finding.fix for item in finding.fix.edits)
        changes = [converter.edit(path, item) for path, item in edits]
        return lsp.CodeAction(title, kind, edit=self._edit(address, changes))

    def _edit(self, address: str, edits: list[lsp.TextEdit]) -> lsp.WorkspaceEdit:
        document = lsp.OptionalVersionedTextDocumentIdentifier(address, self._versions.get(address))
        return lsp.WorkspaceEdit(document_changes=[lsp.TextDocumentEdit(document, list(edits))])


def _is_within(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(f"{wanted}.")


def _normal(address: str) -> str:
    """An address normalised for this machine: clients escape characters differently."""
    return uri(to_fs_path(address) or address)


def serve(min_confidence: Confidence | None) -> None:
    """Serve a client on the standard input and output until it disconnects."""
    server = Server(min_confidence)

    @server.feature(lsp.INITIALIZED)
    def initialized(_: lsp.InitializedParams) -> None:
        if server.workspace.root_path:
            # Paths are shown relative to where the project lies.
            os.chdir(server.workspace.root_path)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(_: lsp.DidOpenTextDocumentParams) -> None:
        server.changed(at_once=True)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(_: lsp.DidChangeTextDocumentParams) -> None:
        server.changed()

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(_: lsp.DidSaveTextDocumentParams) -> None:
        server.changed(at_once=True)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hover(params: lsp.HoverParams) -> lsp.Hover | None:
        return await server.hover(params)

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, _FIX_ALL])
    )
    def actions(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return server.actions(params)

    server.start_io()
