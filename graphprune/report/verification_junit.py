"""A model held against a plan as JUnit XML, which test reports of CI systems show."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.plan.verify import TensorCheck, Verification
from graphprune.report.numbers import format_count
from graphprune.report.verification_text import DIFFERENCES, fault_texts


def render_verification_junit(found: Verification) -> str:
    """Return one test case a pruned tensor, one for the architecture, and one for other weights.

    What is not as planned is a failure, and what was not checked is skipped.
    """
    suite = ET.Element("testsuite", name=f"graphprune verify {escape_controls(found.model)}")
    for check in found.checks:
        case = _case(suite, found, f"{check.address} {check.tensor}")
        _fill(case, _faults(check), check.unchecked)
    architecture = found.architecture
    differences = [
        f"{escape_controls(one.address) or 'model'}: {DIFFERENCES[one.what]}"
        for one in architecture.differences
    ]
    _fill(_case(suite, found, "architecture"), differences, architecture.unchecked)
    others = [
        f"{escape_controls(one.address)} {escape_controls(one.tensor)}:"
        f" {format_count(one.non_finite)} NaN or infinite"
        for one in found.not_finite
    ]
    _fill(_case(suite, found, "other weights are finite"), others, "")
    for kind, tag in (("failures", "failure"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("errors", "0")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _case(suite: ET.Element, found: Verification, name: str) -> ET.Element:
    place = escape_controls(found.plan) or "plan"
    return ET.SubElement(suite, "testcase", classname=place, name=escape_controls(name))


def _fill(case: ET.Element, faults: list[str], unchecked: str) -> None:
    if faults:
        ET.SubElement(case, "failure", message=faults[0]).text = "\n".join(faults)
    elif unchecked:
        ET.SubElement(case, "skipped", message=escape_controls(unchecked))


def _faults(check: TensorCheck) -> list[str]:
    few = f"{format_count(check.measured)} zeros of {format_count(check.planned)} planned"
    return [*([few] if "zeros" in check.faults else []), *fault_texts(check)]
