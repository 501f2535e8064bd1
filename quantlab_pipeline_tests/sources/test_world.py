"""A world as a source: its frames come back through the archive's bytes, and its truth is nowhere
in its files. What D0 says of its damage is `test_planted_truth.test_damage`'s."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import yaml

from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.sources.base import DATASETS
from quantlab_pipeline.sources.world import WorldFiles, world_source
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests.sources.builders import MemorySink, ingest

SPECS = Path(__file__).parents[2] / "specs"
GRID_S = 5


def scenario(name: str) -> Scenario:
    return Scenario(**yaml.safe_load((SPECS / "scenarios" / f"{name}.yaml").read_text()))


def test_frames_come_back_through_the_bytes_and_days_one_by_one_equal_the_range():
    world = generate(scenario("damaged_clean"))
    source = world_source(scenario("damaged_clean"), seal=lambda _: None, grid_s=GRID_S)
    days = [world.scenario.first_day + timedelta(days=i) for i in (1, 2)]
    for dataset, table in DATASETS.items():
        whole = ingest(source, dataset, days, "AAAUSDT").frame
        one_by_one = [ingest(source, dataset, [d], "AAAUSDT").frame for d in days]
        assert whole.equals(table.conform(pl.concat(one_by_one))), dataset
        if dataset == "tob_snapshots":
            continue
        frame = table.conform(world.frames[dataset])
        wanted = frame.filter(
            pl.col("symbol") == "AAAUSDT",
            pl.col("ts").dt.offset_by("-1us").dt.date().is_in(days),
        )
        assert whole.equals(wanted), dataset


def test_the_basis_of_a_world_is_its_mids():
    source = world_source(scenario("damaged_clean"), seal=lambda _: None, grid_s=GRID_S)
    day = [scenario("damaged_clean").first_day]
    book, perp, spot = (
        ingest(source, d, day, "AAAUSDT").frame
        for d in ("tob_snapshots", "bars_1m_perp", "bars_1m_spot")
    )
    state = basis_state(book, perp, spot, GRID_S)
    assert state.height == 1440
    assert state["basis_source"].unique().to_list() == ["mid"]
    assert state["basis_bps"].abs().max() < 500


def test_equal_worlds_have_equal_bytes_and_no_file_knows_the_truth():
    spec = scenario("damaged")
    one, two = WorldFiles(generate(spec)), WorldFiles(generate(spec))
    assert one.names() == two.names()
    sample = one.names()[::23]
    assert [one.read(n) for n in sample] == [two.read(n) for n in sample]
    assert not [n for n in one.names() if "truth" in n or not n.startswith("data/")]
    reachable = vars(world_source(spec, seal=lambda _: None))
    files = reachable["_tree"]
    assert not hasattr(files, "truth")
    assert all(not hasattr(v, "truth") for v in vars(files).values())


def test_landing_a_world_twice_adds_nothing():
    source = world_source(scenario("damaged_clean"), seal=lambda _: None)
    sink, day = MemorySink(), [scenario("damaged_clean").first_day]
    first = source.land("mark_index", "AAAUSDT", day, sink)
    new = sink.new
    assert source.land("mark_index", "AAAUSDT", day, sink) == first
    assert sink.new == new == 3
