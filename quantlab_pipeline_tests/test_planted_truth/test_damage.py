"""PT-14: D0 against the truth of a damaged world, through the archive's bytes."""

from __future__ import annotations

import time

import polars as pl
import pytest
import yaml

from quantlab_pipeline.calibration.damage import grade_damage
from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.qa import MarketTables, examine
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.sources.base import DATASETS
from quantlab_pipeline.sources.world import world_source
from quantlab_pipeline.worlds.truth import truth_from_json
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.worlds.builders import SHIPPED, shipped
GRID_S = 5
def examined(name):
    """(truth, report, verdicts, thresholds) of a shipped scenario, through its archive's bytes."""
    sealed: list[bytes] = []
    spec = shipped(name)
    t=time.time()
    source = world_source(spec, seal=sealed.append, grid_s=GRID_S)
    print("gen", time.time()-t); t=time.time()
    days = days_between(spec.first_day, spec.last_day)
    tables, findings = {}, []
    for dataset, table in DATASETS.items():
        parsed = [ingest(source, dataset, days, s) for s in source.symbols()]
        tables[dataset] = table.validate(pl.concat([p.frame for p in parsed]))
        findings += [f for p in parsed for f in p.findings]
        print(dataset, time.time()-t); t=time.time()
    book = aggregate_book(tables.pop("tob_snapshots"), grid_s=GRID_S)
    thresholds = D0Thresholds(**yaml.safe_load((SHIPPED.parent / "gates.yaml").read_text())["d0"])
    report = examine(
        MarketTables(**tables, tob_1m_agg=book, raw_findings=findings_frame(findings)),
        days,
        source.symbols(),
        dict.fromkeys(DATASETS, "required"),
        thresholds,
    )
    print("examine", time.time()-t)
    return truth_from_json(sealed[0]), report, judge_d0(report, thresholds, GRID_S)

if __name__ == "__main__":
    pl.Config.set_tbl_rows(200); pl.Config.set_tbl_width_chars(200); pl.Config.set_fmt_str_lengths(40); pl.Config.set_tbl_cols(20)
    truth, report, verdicts = examined("damaged")
    g = grade_damage(truth.damage, report, GRID_S)
    print(g.found); print(g.missed); print(g.unexplained)
    print({d:[(v.item,v.outcome.name) for v in vs if v.outcome.name!="FAIL"] for d,vs in verdicts.items()})
    truth, report, verdicts = examined("damaged_clean")
    print(grade_damage(truth.damage, report, GRID_S).unexplained)
