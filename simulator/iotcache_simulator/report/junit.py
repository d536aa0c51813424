"""The verdict as JUnit XML, which every CI shows."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from msgspec import Struct


class Case(Struct, frozen=True):
    """One thing that was promised or required; ``failure`` is empty when it held."""

    name: str
    failure: str = ""


def junit(cases: Sequence[Case], *, suite: str, seconds: float, started: str) -> bytes:
    """A report with one test case for each promise."""
    failed = sum(bool(case.failure) for case in cases)
    root = ElementTree.Element("testsuites")
    group = ElementTree.SubElement(
        root, "testsuite", name=suite, tests=str(len(cases)), failures=str(failed), errors="0", skipped="0",
        time=f"{seconds:.3f}", timestamp=started,
    )  # fmt: skip
    for case in cases:
        element = ElementTree.SubElement(
            group, "testcase", classname=suite, name=case.name, time=f"{seconds:.3f}"
        )
        if case.failure:
            ElementTree.SubElement(element, "failure", message=case.failure).text = case.failure
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
