"""A run for the test reports of CI: a suite for each workload, a case for each criterion.

The format is the one that Ant's ``junitreport`` task reads and every CI server knows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

from rackwright.core.load.result import WHOLE, Judgement, RunResult, WorkloadResult
from rackwright.core.load.track import Recording
from rackwright.load.report import words

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) cannot hold, escaped or not."""


def junit(recording: Recording) -> str:
    """The run as JUnit XML. A run that did not end as it should has an error in a suite of its own."""
    run = recording.run
    root = ElementTree.Element("testsuites", name=_text(run.title))
    for workload in run.workloads:
        root.append(_suite(workload))
    if run.status != "finished":
        root.append(_ending(run))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(workload: WorkloadResult) -> ElementTree.Element:
    name = _text(words.workload(workload))
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(max(len(workload.judgements), 1)),
        failures=str(sum(not judgement.success for judgement in workload.judgements)),
        errors="0",
        time=f"{workload.full_duration:.3f}",
        timestamp=datetime.fromtimestamp(workload.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    )
    for judgement in workload.judgements:
        suite.append(_case(name, judgement, workload.load_duration))
    if not workload.judgements:
        # Without a case the workload would not be seen at all.
        ElementTree.SubElement(suite, "testcase", classname=name, name="carried out", time="0")
    if workload.notes:
        ElementTree.SubElement(suite, "system-out").text = _text("\n".join(workload.notes))
    return suite


def _case(suite: str, judgement: Judgement, seconds: float) -> ElementTree.Element:
    of = f" of {judgement.action}" if judgement.action != WHOLE else ""
    name = _text(judgement.criterion + of)
    case = ElementTree.Element("testcase", classname=suite, name=name, time=f"{seconds:.3f}")
    if not judgement.success:
        failure = ElementTree.SubElement(case, "failure", type=judgement.criterion, message=_text(judgement.detail))
        failure.text = _text("\n".join([judgement.detail, *words.stretches(judgement.broken)]))
    return case


def _ending(run: RunResult) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name="run", tests="1", failures="0", errors="1")
    case = ElementTree.SubElement(suite, "testcase", classname="run", name="finished")
    ElementTree.SubElement(case, "error", type=run.status, message=f"the run {words.status(run)}")
    return suite


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
