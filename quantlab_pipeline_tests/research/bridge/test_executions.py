"""Every way of every survivor: its figures, what scenarios leave of it, and what is served."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.research.bridge import executions as module
from quantlab_pipeline.research.bridge.executions import Venue, execute, figures
from quantlab_pipeline.research.bridge.gate import Reason, verdict
from quantlab_pipeline.research.bridge.results import result_of
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.serving import Feed, Shelf, Tally
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.simulation.trades import TRADES
from quantlab_pipeline.storage.objects import LocalObjects
from quantlab_pipeline.storage.result_cache import LakeResults
from quantlab_pipeline_tests.research.bridge.builders import THRESHOLDS, costs_of
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    funding_of,
    quotes_of,
)
from quantlab_pipeline_tests.test_planted_truth.test_passive_realism import (
    TICKED,
    WARM_H,
    tick_walk,
)

N_DAYS = 3
DAYS = [START.date() + timedelta(days=i) for i in range(N_DAYS)]
MINUTE = timedelta(minutes=1)


def bars() -> pl.DataFrame:
    moves = np.random.default_rng(4).normal(0, 2e-4, N_DAYS * 1440)
    for t in range(720, moves.size - 60, 60):
        moves[t + 2 : t + 32] += 40.0 / 30 / 1e4
    return bars_of(50_000 * np.exp(np.cumsum(moves)))


BARS = bars()
ENTRIES = pl.concat(
    [
        entries_of([START + t * MINUTE for t in range(720, N_DAYS * 1440 - 60, 60)], name, side)
        for name, side in (("edge", 1), ("mirror", -1))
    ]
)
COSTS = costs_of()


def venue(costs: CostModel = COSTS, quotes: pl.DataFrame | None = None) -> Venue:
    window = MarketTables(BARS, quotes).until(day_end(DAYS[-1]))
    return Venue(Feed("w", lambda symbols: tapes(window, symbols)), {"BTC": BTC}, costs, DAYS)


def shelf(root: Path) -> Shelf:
    return Shelf(LakeResults(LocalObjects(root)), digest("data"), digest("lock"), Tally())


def served(root: Path, names: tuple[str, ...], **more: Any) -> tuple[pl.DataFrame, tuple[int, int]]:
    kept = shelf(root)
    entries = more.pop("entries", ENTRIES)
    frame = execute(names, entries, venue(**more), kept)
    return frame, (kept.tally.served, kept.tally.asked)


@pytest.fixture(scope="module")
def whole() -> pl.DataFrame:
    return BRIDGE_EXECUTIONS.validate(execute(["edge", "mirror", "silent"], ENTRIES, venue()))


def test_every_survivor_has_a_row_for_every_way_also_without_entries(whole: pl.DataFrame) -> None:
    ways = whole.filter(strategy_id="edge")["way"].to_list()
    assert len(ways) == 11
    for name in ("mirror", "silent"):
        assert whole.filter(strategy_id=name)["way"].to_list() == ways
    silent = whole.filter(strategy_id="silent")
    assert silent["n_intents"].sum() == 0
    assert silent["net_bps"].is_null().all()
    assert whole.filter(pl.col("records_head").is_not_null())["way"].unique().to_list() == [
        "taker.1s.as_is"
    ]


def test_dearer_costs_leave_less_and_the_break_even_multiple_leaves_nothing(
    whole: pl.DataFrame,
) -> None:
    mine = whole.filter(strategy_id="edge")
    swept = mine.filter(pl.col("scenario").str.contains("as_is|costs"), entry="taker")
    swept = swept.sort("cost_multiple")
    assert swept["cost_multiple"].to_list() == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0]
    assert (np.diff(swept["net_bps"].to_numpy()) < 0).all()
    gross = swept["gross_bps"] + swept["funding_bps"]
    assert swept["net_bps"][0] == pytest.approx(gross[0], abs=0.01)
    multiple = result_of(mine.to_dicts(), COSTS, THRESHOLDS)["break_even_cost_multiple"]
    assert 1.0 < multiple < 5.0
    costs = costs_of(fee_bps=4.0 * multiple, half_bps=1.0 * multiple)
    profile = costs.profiles["base"].model_copy(update={"impact_y": 0.7 * multiple})
    dear = costs.model_copy(update={"profiles": dict.fromkeys(costs.profiles, profile)})
    there = execute(["edge"], ENTRIES, venue(dear)).filter(way="taker.1s.as_is")
    assert there["net_bps"][0] == pytest.approx(0.0, abs=0.05)


def test_stress_widens_an_assumed_spread_and_leaves_less(whole: pl.DataFrame) -> None:
    rows = {r["way"]: r for r in whole.filter(strategy_id="edge").to_dicts()}
    plain, stressed = rows["taker.1s.as_is"], rows["taker.1s.stressed"]
    assert stressed["spread_bps"] == pytest.approx(2.0 * plain["spread_bps"], rel=1e-6)
    assert stressed["net_bps"] < plain["net_bps"]


def test_without_a_book_the_conservative_spread_is_used_and_marked(whole: pl.DataFrame) -> None:
    seconds = np.repeat(BARS["close"].to_numpy(), 60)[::20]
    books = {
        "measured": quotes_of(seconds, 1.0, step_s=20),
        "mixed": quotes_of(seconds[: 36 * 180], 1.0, step_s=20),
    }
    found = {name: execute(["edge"], ENTRIES, venue(quotes=book)) for name, book in books.items()}
    found["assumed"] = whole.filter(strategy_id="edge")
    rows = {}
    for name, frame in found.items():
        assert result_of(frame.to_dicts(), COSTS, THRESHOLDS)["spread_source"] == name
        rows[name] = frame.filter(way="taker.1s.as_is").row(0, named=True)
    assumed, measured = rows["assumed"], rows["measured"]
    assert assumed["spread_bps"] == pytest.approx(2.0, rel=1e-2), "two assumed halves of 1 bps"
    assert measured["spread_bps"] == pytest.approx(1.0, rel=1e-2)
    assert assumed["markout_5s_bps"] is None
    assert measured["markout_5s_bps"] is not None
    assert [rows[n]["measured_share"] for n in ("assumed", "measured")] == [0.0, 1.0]
    assert 0.0 < rows["mixed"]["measured_share"] < 1.0


def test_resting_on_a_tick_walk_is_red_on_the_worst_rule_and_touch_is_flagged() -> None:
    """PT-10 through the bridge: the rules lie 0.92 tick of 0.2 bps apart, and only touch gains."""
    quotes, calm = tick_walk(10)
    quotes, seconds = quotes[:43_200], np.arange(60, 42_600, 12)
    minutes = quotes["bid_px"].to_numpy().reshape(-1, 60)[:, -1] + 0.5
    walked = bars_of(np.concatenate([np.full(WARM_H * 60, minutes[0]), minutes]))
    start = START + timedelta(hours=WARM_H)
    entries = pl.concat(
        [
            entries_of(
                [start + int(t) * timedelta(seconds=1) for t in seconds[calm[seconds + 1]][k::2]],
                side=side,
                horizon_min=3,
            ).with_columns(pl.col("event_id") + str(side))
            for k, side in ((0, 1), (1, -1))
        ]
    )
    costs = costs_of("passive", fee_bps=0.0, passive={"traded_share": 1.0})
    costs = costs.model_copy(update={"notional_usd": 10.0})
    feed = Feed("walk", lambda symbols: tapes(MarketTables(walked, quotes), symbols))
    there = Venue(feed, {"BTC": TICKED}, costs, DAYS[:2])
    row = result_of(execute(["edge"], entries, there).to_dicts(), costs, THRESHOLDS)
    assert row["entry"] in {"queue", "penetration"}
    assert row["touch_optimistic"]
    assert row["bracket_width_bps"] == pytest.approx(0.92 * 0.2, rel=0.15)
    assert Reason.EXPECTANCY_NOT_POSITIVE in verdict(row, THRESHOLDS).reasons
    assert row["lowest_fill_rate"] < 1.0


@pytest.mark.parametrize(("missing", "told"), [(2, False), (6, True)])
def test_trades_across_missing_settlements_have_no_result_and_stop_the_strategy(
    missing: int, told: bool
) -> None:
    hours = [START + timedelta(hours=h) for h in range(1, 24 * N_DAYS)]
    settled = funding_of([h for i, h in enumerate(hours) if not 20 <= i < 20 + missing], 0.0, 5e4,
                         interval_h=1)  # fmt: skip
    across = ENTRIES.filter(candidate_id="edge").with_columns(pl.col("ts") + 40 * MINUTE)
    window = MarketTables(BARS, None, settled)
    there = Venue(Feed("f", lambda s: tapes(window, s)), {"BTC": BTC}, COSTS, DAYS)
    row = result_of(execute(["edge"], across, there).to_dicts(), COSTS, THRESHOLDS)
    assert row["n_unknown_funding"] == missing
    assert row["fill_rate"] == 1.0
    assert (Reason.FUNDING_UNKNOWN in verdict(row, THRESHOLDS).reasons) == told


def test_many_visits_of_the_tapes_give_the_same_bytes_as_one(
    whole: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 11)
    assert execute(["silent", "mirror", "edge"], ENTRIES, venue()).equals(whole)


def test_a_survivor_more_is_computed_alone_and_the_rest_is_served(
    whole: pl.DataFrame, tmp_path: Path
) -> None:
    first, told = served(tmp_path, ("edge",))
    assert told == (0, 1)
    assert first.equals(whole.filter(strategy_id="edge"))
    both, told = served(tmp_path, ("mirror", "edge"))
    assert told == (1, 2)
    assert both.equals(whole.filter(pl.col("strategy_id") != "silent"))
    assert served(tmp_path, ("edge", "mirror"), entries=ENTRIES.reverse())[1] == (2, 2)
    assert served(tmp_path, ("edge",), costs=costs_of(fee_bps=4.000001))[1] == (0, 1)
    assert served(tmp_path, ("edge",), costs=costs_of("passive"))[1] == (0, 1)
    assert served(tmp_path, ("edge",), entries=ENTRIES[1:])[1] == (0, 1)


def trades_of(**columns: Any) -> pl.DataFrame:
    """Made-up trades, a column a keyword; what is not given is null."""
    n = len(next(iter(columns.values())))
    full = {"symbol": ["BTC"] * n, "side": [1] * n, "ts": [START] * n, **columns}
    return pl.DataFrame({name: full.get(name, [None] * n) for name in TRADES}, schema=TRADES)


def test_counts_tell_skipped_cancelled_and_unknown_apart() -> None:
    status = ["filled", "forced", "not_filled", "unknown_funding", "truncated", "too_small"]
    net, lots = [1.0, 3.0] + [None] * 4, [10, 5, 10, 10, 10, 0]
    trades = trades_of(status=status, net_bps=net, lots=lots, ordered_lots=[10] * 5 + [0])
    found = figures(trades, pl.Series([]), 2)
    assert found["n_trades"] == 2
    counts = ("n_forced", "n_not_filled", "n_unknown_funding", "n_skipped", "n_intents")
    assert [found[n] for n in counts] == [1, 1, 1, 2, 6]
    assert found["fill_rate"] == pytest.approx((1.0 + 0.5 + 0.0 + 1.0) / 4)
    assert found["net_bps"] == 2.0
    assert found["turnover_per_day"] == 2.0


def test_shortfall_is_paper_less_real_of_all_that_was_ordered() -> None:
    """Perold, three longs of 2 decided at 100, two of them left at 103 and one at 98.

    The first bought 2 at 100.5 (mid 100.3), sold at 102.8 (mid 102.9), fees 0.4: paper 6, real 4.2.
    The second got 1 of 2 at the same prices. The third was never filled, and missed a loss of 4.
    """
    whole = {
        "gross_usd": 5.2,
        "latency_usd": 0.8,
        "spread_usd": 0.4,
        "slippage_usd": 0.2,
        "fee_usd": 0.4,
    }
    columns = {n: [usd, usd / 2, None] for n, usd in {**whole, "notional_usd": 200.6}.items()}
    found = figures(
        trades_of(
            status=["filled", "filled", "not_filled"], lots=[2, 1, 2], ordered_lots=[2, 2, 2],
            decision_mid=[100.0] * 3, leave_mid=[103.0, 103.0, 98.0],
            entry_mid=[100.3, 100.3, None], **columns,
        ),
        pl.Series([]),
        1,
    )  # fmt: skip
    of_orders = np.array([6.0 - 4.2, 6.0 - 2.1, -4.0])
    assert found["shortfall_bps"] == pytest.approx(1e4 * of_orders.mean() / 200.0, rel=1e-12)
    assert found["delay_bps"] == pytest.approx(1e4 * (0.8 + 0.4) / 3 / 200.0, rel=1e-12)
    assert found["opportunity_bps"] == pytest.approx(1e4 * (3.0 - 4.0) / 3 / 200.0, rel=1e-12)


def test_the_error_of_the_mean_is_clustered_by_day() -> None:
    net = [1.0, 2.0, 6.0, 3.0]
    days = [START + MINUTE, *(START + timedelta(days=i + 1) for i in range(3))]
    trades = trades_of(status=["filled"] * 4, ts=days, net_bps=net, gross_bps=net)
    found = figures(trades.with_columns(funding_bps=pl.lit(0.0)), pl.Series([]), 3)
    sums = np.array([1.0 + 2.0 - 6.0, 6.0 - 3.0, 0.0])
    assert found["se_bps"] == pytest.approx(np.sqrt(sums @ sums * 3 / 2) / 4, rel=1e-12)
    assert found["edge_se_bps"] == found["se_bps"]
    assert figures(trades[:2], pl.Series([]), 3)["se_bps"] is None
