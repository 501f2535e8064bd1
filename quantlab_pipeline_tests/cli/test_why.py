"""`quantlab why` on a feature: what PIT-1 found, told from the verdicts that the lake keeps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quantlab_pipeline.commands.session import open_session
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.pages import PIT1
from quantlab_pipeline.defs.reports.pit import PAGE
from quantlab_pipeline.defs.reports.study_page import write_page
from quantlab_pipeline.storage.project_lake import open_market_lake, project_of
from quantlab_pipeline_tests.cli.builders import Command
from quantlab_pipeline_tests.cli.conftest import Ran
from quantlab_pipeline_tests.reports.pit_builders import HOUR, leak, verdict

RED = "oi_change_5m_bps"
GREEN = "ret_1m_bps"


@pytest.fixture
def judged(ran: Ran, tmp_path: Path) -> tuple[str, ...]:
    """A copy of the run whose second day has a red feature, by a verdict with its evidence."""
    data = shutil.copytree(ran.data, tmp_path / "data")
    name = ran.summary["study"]
    project = project_of(ran.project, data)
    market = project.market(name)
    lake = open_market_lake(project, market, data, lambda: datetime(2025, 4, 1, tzinfo=UTC))
    day = market.first_day + timedelta(days=1)
    row = datetime(day.year, day.month, day.day, 4, 2, tzinfo=UTC)
    found = leak(RED, "prefix", "open_interest.oi_base", symbol="AAAUSDT", ts=row, tau=row)
    deep = replace(found, attack="lookback", source="open_interest.oi_base", reach_s=13 * HOUR)
    kept = lake.verdicts.current(Gate.PIT1, f"day={day}")
    items = [v for v in kept.items if v.item != RED] + [verdict(RED, found, deep)]
    lake.record_verdicts(Gate.PIT1, day, items)
    return ("--study", name, "--project", str(ran.project), "--data", str(data))


def test_a_red_feature_is_told_with_its_row_its_input_and_what_to_do(
    judged: tuple[str, ...], quantlab: Command
) -> None:
    said = quantlab("why", RED, *judged)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == f"{RED} is red on 1 of 4 days."
    assert lines[1].startswith("LEAK_PREFIX: it changes when")
    assert lines[2] == "  first row   AAAUSDT 2025-03-02 04:02: 1.25 became 1.5; 5 rows changed"
    assert lines[3] == "  it saw      open_interest.oi_base, 6 min ahead"
    assert lines[4].startswith("  what to do  Join open_interest on available_at")
    assert "older than the declared" in said.out
    assert "PIT-1 FAIL LEAK_PREFIX, LOOKBACK_EXCEEDED" in " ".join(said.out.split())


def test_a_green_feature_and_one_without_data(ran: Ran, quantlab: Command) -> None:
    study = ("--study", ran.summary["study"], *ran.places)
    green = quantlab("why", GREEN, *study)
    assert green.out.startswith(f"{GREEN} kept every bit under attack at ")
    absent = quantlab("why", "spread_bps", *study)
    assert absent.out.startswith("spread_bps could not be judged: tob_1m_agg has no rows")


def test_the_page_lands_with_the_artifacts_and_goes_with_its_verdicts(
    ran: Ran, judged: tuple[str, ...], quantlab: Command, tmp_path: Path
) -> None:
    session = open_session(ran.project, tmp_path / "data", lambda: datetime(2025, 4, 1, tzinfo=UTC))
    study = session.project.study(ran.summary["study"])
    folder = session.artifacts(study)
    path = write_page(session.outcome(study), PIT1, folder)
    assert path == folder / PAGE
    text = path.read_text(encoding="utf-8")
    assert f'id="{RED}-prefix"' in text
    assert "1 is red" in text
    assert quantlab("why", RED, *judged).out.count(PAGE) == 1
    verdicts = tmp_path / "data" / "lake" / study.market / "verdicts" / "PIT-1"
    for day in study.days:
        shutil.rmtree(verdicts / f"day={day}")
    assert write_page(session.outcome(study), PIT1, folder) is None
    assert not path.exists()
