from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from rackwright.core.errors import Retryable
from rackwright.rack.region import Observation
from rackwright.rack.relay import ReportSpool


async def test_reports_that_come_together_are_all_kept(tmp_path: Path) -> None:
    spool = ReportSpool(str(tmp_path / "told.sqlite"))
    reports = [Observation(node=f"n{number}", facts={"observed.power": "on"}) for number in range(20)]
    await asyncio.gather(*map(spool.keep, reports))
    assert sorted(spool.oldest()[1], key=lambda report: int(report.node[1:])) == reports
    spool.close()


async def test_when_the_disk_takes_nothing_nobody_is_told_that_a_report_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "told.sqlite"
    spool = ReportSpool(str(path))
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON told BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    other.close()
    told = await asyncio.gather(
        *(spool.keep(Observation(node=f"n{number}")) for number in range(4)), return_exceptions=True
    )
    assert [type(each) for each in told] == [Retryable] * 4
    assert spool.oldest() == (0, [])
    spool.close()
