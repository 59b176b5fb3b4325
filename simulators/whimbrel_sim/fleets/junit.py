"""A run's checks as JUnit XML, the form in which CI systems show test results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from .running import Report

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(report: Report, file: Path, *, suite: str = "whimbrel-sim fleet") -> None:
    """Write one test case for each check."""
    checks = report.checks()
    failures = sum(1 for wrong in checks.values() if wrong)
    top = ET.Element(
        "testsuite",
        name=suite,
        tests=str(len(checks)),
        failures=str(failures),
        time=f"{report.sending_s:.1f}",
    )
    for name, wrong in checks.items():
        case = ET.SubElement(top, "testcase", classname=suite, name=name)
        if wrong:
            text = _NOT_XML.sub("?", wrong)
            failure = ET.SubElement(case, "failure", message=text.splitlines()[0])
            failure.text = text
    ET.ElementTree(top).write(file, encoding="utf-8", xml_declaration=True)
