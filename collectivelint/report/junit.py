"""Findings as a JUnit report: a test suite for each file, a failed test for each finding, with its confidence as a property."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ..printable import printable
from .remedy import advice
from .summary import failure

if TYPE_CHECKING:
    from ..finding import Finding
    from .model import Document, Sources


def render(document: Document) -> str:
    """A project without findings has one test, which passes: some readers take a report without tests for a failure."""
    result = document.result
    count = len(result.findings)
    root = ET.Element("testsuites", name="collectivelint", tests=str(count or 1), failures=str(count), errors="0")
    for path, findings in groupby(result.findings, key=lambda finding: finding.path):
        _suite(root, _legal(path), list(findings), document.sources)
    if result.incomplete:
        root.set("tests", str(count + 1))
        root.set("errors", "1")
        suite = ET.SubElement(root, "testsuite", name="collectivelint", tests="1", failures="0", errors="1")
        case = ET.SubElement(suite, "testcase", name="The run", classname="collectivelint")
        ET.SubElement(case, "error", message=failure(result)).text = _legal("\n".join(result.errors))
    elif not count:
        suite = ET.SubElement(root, "testsuite", name="collectivelint", tests="1", failures="0", errors="0")
        ET.SubElement(suite, "testcase", name="No findings", classname="collectivelint")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, path: str, findings: list[Finding], sources: Sources) -> None:
    count = str(len(findings))
    suite = ET.SubElement(root, "testsuite", name=path, tests=count, failures=count, errors="0")
    for finding in findings:
        place = f"{finding.location.row}:{finding.location.column}"
        case = ET.SubElement(
            suite,
            "testcase",
            name=f"{finding.code} [{finding.name}] {place}",
            classname=path,
            file=path,
            line=str(finding.location.row),
        )
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="confidence", value=finding.confidence.word)
        failure = ET.SubElement(case, "failure", message=_legal(finding.message), type=finding.severity)
        steps = [f"{step.path}:{step.line}: {step.text}" for step in finding.trail]
        failure.text = _legal("\n".join([f"{path}:{place}", *steps, *advice(finding, sources)]))


def _legal(text: str) -> str:
    """The text with characters that XML 1.0 does not allow as escapes; source and file names may contain any."""
    return printable(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
