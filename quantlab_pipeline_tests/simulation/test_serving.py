"""A simulation that was computed before is served to the same bytes; any other byte is a miss."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.simulation import serving
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.serving import (
    Feed,
    Shelf,
    Tally,
    rows_digest,
    simulate_served,
)
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.storage.objects import LocalObjects
from quantlab_pipeline.storage.result_cache import LakeResults
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    intents_of,
)

MINUTE = timedelta(minutes=1)
INSTRUMENTS = {s: BTC.model_copy(update={"symbol": s}) for s in ("BTC", "ETH")}
COSTS = cost_model(impact_y=0.5)
WAYS = (RunSettings(1.0, "base"), RunSettings(5.0, "base"))


def market() -> MarketTables:
    """A day and a half of two symbols, settled every four hours."""
    n = 1440 + 720
    draws = np.random.default_rng(3)
    bars = [
        bars_of(price * np.exp(np.cumsum(draws.normal(0, 3e-4, n))), symbol)
        for symbol, price in (("BTC", 50_000.0), ("ETH", 3_000.0))
    ]
    stamps = [START + timedelta(hours=4 * i) for i in range(1, 9)]
    funding = [funding_of(stamps, 1e-4, None, s) for s in ("BTC", "ETH")]
    return MarketTables(pl.concat(bars), None, pl.concat(funding))


MARKET = market()


def intents(strategy: str, first_min: int, side: int = 1) -> pl.DataFrame:
    rows = [
        (START + (first_min + 60 * i) * MINUTE, START + (first_min + 60 * i + 45) * MINUTE, side)
        for i in range(20)
    ]
    both = [intents_of(rows, strategy, s) for s in ("BTC", "ETH")]
    return pl.concat(both).with_columns(pl.col("event_id") + pl.col("symbol"))


FAST, SLOW = intents("fast", 700), intents("slow", 730, -1)


class Counted:
    """A feed that knows how often and for which symbols it was asked."""

    def __init__(self, name: str = "whole", modules: tuple[str, ...] = ()) -> None:
        self.asked: list[list[str]] = []
        self.feed = Feed(name, self._tapes, modules)

    def _tapes(self, symbols: Any) -> Any:
        self.asked.append(list(symbols))
        return tapes(MARKET, symbols)


def shelf(root: Path, data: str = "data", libraries: str = "lock") -> Shelf:
    return Shelf(LakeResults(LocalObjects(root)), digest(data), digest(libraries), Tally())


def run(root: Path, wanted: pl.DataFrame, ways=WAYS, costs=COSTS, **more: Any):
    """(simulations, tally, feed) of one run on the results below `root`."""
    counted = Counted(more.pop("feed", "whole"))
    instruments = more.pop("instruments", INSTRUMENTS)
    kept = shelf(root, **more)
    done = simulate_served(wanted, counted.feed, instruments, costs, ways, kept)
    return done, (kept.tally.served, kept.tally.asked), counted.asked


def assert_same(found: Any, other: Any) -> None:
    for one, two in zip(found, other, strict=True):
        assert one.settings == two.settings
        assert_frame_equal(one.trades, two.trades)
        assert_frame_equal(one.payments, two.payments)


def test_what_is_served_is_what_the_engine_gives_bit_for_bit(tmp_path: Path) -> None:
    both = pl.concat([SLOW, FAST])
    plain = simulate(both, tapes(MARKET, ["BTC", "ETH"]), INSTRUMENTS, COSTS, WAYS)
    fresh, told, asked = run(tmp_path, both)
    assert (told, asked) == ((0, 4), [["BTC", "ETH"]])
    for one, two in zip(fresh, plain, strict=True):
        assert one.trades.height == 80
        assert one.payments.height == 10
        assert_frame_equal(one.trades, two.trades)
        assert_frame_equal(one.payments.drop("trade"), two.payments.drop("trade"))
    served, told, asked = run(tmp_path, both)
    assert (told, asked) == ((4, 4), [])
    assert_same(served, fresh)


def test_another_strategy_or_way_computes_that_one_alone(tmp_path: Path) -> None:
    alone, _, _ = run(tmp_path, FAST, WAYS[:1])
    assert run(tmp_path, FAST)[1] == (1, 2)
    both, told, _ = run(tmp_path, pl.concat([FAST, SLOW]))
    assert told == (2, 4)
    fresh, _, _ = run(tmp_path / "new", pl.concat([FAST, SLOW]))
    assert_same(both, fresh)
    mine = both[0].trades.filter(pl.col("strategy_id") == "fast")
    assert_frame_equal(mine, alone[0].trades)
    mine = both[0].payments.filter(pl.col("strategy_id") == "fast")
    assert_frame_equal(mine, alone[0].payments)


def other_costs() -> Any:
    return cost_model(impact_y=0.5, fee_bps=4.0 + 1e-9)


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "another day"},
        {"libraries": "another numba"},
        {"feed": "until yesterday"},
        {"costs": other_costs()},
        {"costs": cost_model(impact_y=0.5, max_wait_s=61.0)},
        {
            "instruments": {
                s: i.model_copy(update={"lot_size": Decimal(1)}) for s, i in INSTRUMENTS.items()
            }
        },
        {"ways": [replace(WAYS[0], latency_s=1.0 + 1e-9)]},
        {"ways": [replace(WAYS[0], profile="conservative")]},
        {"ways": [replace(WAYS[0], scale=CostScale(funding_paid=1.5))]},
        {"ways": [replace(WAYS[0], delay_s=60.0)]},
        {"ways": [replace(WAYS[0], entry="queue")]},
        {"ways": [replace(WAYS[0], stressed=True)]},
    ],
    ids=str,
)
def test_any_change_of_what_it_follows_from_is_a_miss(changed: Any, seen: Path) -> None:
    whole = {"ways": WAYS[:1], **changed}
    assert run(seen, FAST, ways=WAYS[:1])[1] == (1, 1)
    signed: list[str] = []

    class Watching(LakeResults):
        def get(self, signature: str) -> dict[str, pl.DataFrame]:
            signed.append(signature)
            return {"trades": serving.no_trades(), "payments": serving.no_payments()}

    def signature(**more: Any) -> str:
        feed = Counted(more.pop("feed", "whole")).feed
        costs, ways = more.pop("costs", COSTS), more.pop("ways")
        instruments = more.pop("instruments", INSTRUMENTS)
        kept = replace(shelf(seen, **more), cache=Watching(LocalObjects(seen)))
        simulate_served(FAST, feed, instruments, costs, ways, kept)
        return signed[-1]

    assert signature(**whole) != signature(ways=WAYS[:1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one strategy in one way."""
    root = tmp_path_factory.mktemp("results")
    run(root, FAST, WAYS[:1])
    return root


@pytest.mark.parametrize("column", ["ts", "exit_ts", "side", "event_id", "stress", "symbol"])
def test_any_other_intent_is_a_miss(seen: Path, column: str) -> None:
    first = pl.int_range(pl.len()) == 0
    changes = {
        "ts": pl.col("ts") + pl.duration(microseconds=1),
        "exit_ts": pl.col("exit_ts") - pl.duration(microseconds=1),
        "side": -pl.col("side"),
        "event_id": pl.lit("another"),
        "stress": pl.lit(True),
        "symbol": pl.lit("ETH"),
    }
    other = FAST.with_columns(pl.when(first).then(changes[column]).otherwise(column).alias(column))
    assert run(seen, other.cast(FAST.schema), WAYS[:1])[1] == (0, 1)
    assert run(seen, FAST.sample(fraction=1.0, shuffle=True, seed=1), WAYS[:1])[1] == (1, 1)


def test_the_code_that_alters_the_tapes_is_part_of_the_signature(seen: Path) -> None:
    for modules, told in (((), (1, 1)), (("quantlab_pipeline.core.seeds",), (0, 1))):
        kept = shelf(seen)
        feed = Counted(modules=modules).feed
        simulate_served(FAST, feed, INSTRUMENTS, COSTS, WAYS[:1], kept)
        assert (kept.tally.served, kept.tally.asked) == told


def test_without_a_shelf_it_is_the_engine() -> None:
    (plain,) = simulate(FAST, tapes(MARKET, ["BTC", "ETH"]), INSTRUMENTS, COSTS, WAYS[:1])
    found = simulate_served(FAST, Counted().feed, INSTRUMENTS, COSTS, WAYS[:1], None)
    assert_same(found, [plain])


def test_another_line_of_the_engine_is_a_miss(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "code_hash", lambda *names: digest(["edited", *names]))
    assert run(seen, FAST, WAYS[:1])[1] == (0, 1)


def test_the_signature_names_the_source_of_engine_and_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from quantlab_pipeline.core import code_hash as module

    read: list[str] = []
    known = module._read
    monkeypatch.setattr(module, "_read", lambda name: (read.append(name), known(name))[1])
    module.code_hash.cache_clear()
    module.code_hash(serving.ENGINE)
    for name in ("simulation.legs", "simulation.costs", "simulation.tape", "kernels.execution"):
        assert f"quantlab_pipeline.{name}" in read
    module.code_hash.cache_clear()


def test_a_frames_digest_tells_null_from_zero_and_text_from_text() -> None:
    def told(**columns: Any) -> str:
        return rows_digest(pl.DataFrame(columns))

    frames = [
        {"a": [1, 2]},
        {"a": [1, None]},
        {"a": [1, 0]},
        {"a": [1.0, 0.0]},
        {"a": [1.0, -0.0]},
        {"a": [1.0, float("nan")]},
        {"a": [True, False]},
        {"a": ["1", "2"]},
        {"a": ["1", None]},
        {"a": ["12", ""]},
        {"b": [1, 2]},
        {"a": [1, 2], "b": [1, 2]},
    ]
    assert len({told(**f) for f in frames}) == len(frames)
    whole = pl.DataFrame({"a": [1, None, 3], "b": ["x", None, "z"], "c": [True, None, False]})
    assert rows_digest(pl.concat([whole[:1], whole[1:]], rechunk=False)) == rows_digest(whole)
