"""A tear sheet: every number on it follows from the tables; what was not made is a sentence."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.reports.strategy_data import (
    Prices,
    StrategyPage,
    StrategyTables,
    in_order,
    strategy_page,
)
from quantlab_pipeline.reports.strategy_figures import worst_drawdowns
from quantlab_pipeline.reports.strategy_page import (
    render_strategies_page,
    render_strategy_page,
)
from quantlab_pipeline.reports.strategy_story import ENTRIES
from quantlab_pipeline_tests.reports.pages import opens_alone
from quantlab_pipeline_tests.reports.strategies import (
    LOSER,
    NAME,
    SILENT,
    Executed,
    facts_of,
    planted,
    prices_of,
)

S_FAILED = ItemVerdict(
    NAME, Outcome.FAIL, ("STRESS",), {"min_oos_net_bps": (3.25, 0.0), "max_oos_p": (None, 0.05)}
)
VERDICTS = {Gate.S: {NAME: S_FAILED}}


@pytest.fixture(scope="module")
def ran() -> Executed:
    """Six days on bars: the edge passes B, its mirror fails, the third never trades."""
    return planted(n_days=6, every_min=120)


@pytest.fixture(scope="module")
def page(ran: Executed) -> StrategyPage:
    return sheet(ran)


def sheet(
    ran: Executed, name: str = NAME, tables: StrategyTables | None = None, **facts: Any
) -> StrategyPage:
    made = facts_of(ran.study, **facts)
    return strategy_page(made, tables or ran.tables, name, VERDICTS, prices_of(ran.study))


def signed(value: float, digits: int = 2) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def rows_of(page: StrategyPage) -> list[list[str]]:
    return opens_alone(render_strategy_page(page, "digest")).rows


def line(rows: list[list[str]], first: str) -> list[str]:
    return next(row for row in rows if row[0] == first)


def test_the_sheet_opens_alone_and_the_same_page_has_the_same_bytes(
    ran: Executed, page: StrategyPage
) -> None:
    text = render_strategy_page(page, "digest")
    elements = opens_alone(text)
    assert elements.titles[0] == f"{NAME} · tear sheet"
    assert '<meta name="made-from" content="digest">' in text[:400]
    assert text == render_strategy_page(sheet(ran), "digest")
    links = {a["href"] for a in elements.all("a")}
    assert {"../gate_board.html", "../strategies.html"} <= links
    assert "candidates/" not in " ".join(links)
    followed = sheet(ran, tables=replace(ran.tables, followed=frozenset({NAME})))
    assert f'href="../candidates/{NAME}.html"' in render_strategy_page(followed)


def test_the_order_of_rows_and_columns_that_are_new_change_no_byte(
    ran: Executed, page: StrategyPage
) -> None:
    def stirred(value: Any) -> Any:
        if not isinstance(value, pl.DataFrame):
            return value
        return value.sample(fraction=1.0, shuffle=True, seed=3).with_columns(
            pl.lit(None, dtype=pl.Float64).alias("a_new_figure")
        )

    stir = {f.name: stirred(getattr(ran.tables, f.name)) for f in fields(StrategyTables)}
    assert render_strategy_page(sheet(ran, tables=StrategyTables(**stir))) == render_strategy_page(
        page
    )


def test_the_costs_of_a_trade_add_up_to_what_the_tables_say(
    ran: Executed, page: StrategyPage
) -> None:
    rows = rows_of(page)
    mine = ran.base.trades.filter(strategy_id=NAME, status="filled")
    paper = mine["gross_bps"] + mine["latency_bps"]
    bridge = ran.tables.bridge.filter(strategy_id=NAME).row(0, named=True)
    told = {
        "on paper": (bridge["gross_bps"] + bridge["latency_bps"], paper.mean()),
        "latency": (-bridge["latency_bps"], -mine["latency_bps"].mean()),
        "spread": (-bridge["spread_bps"], -mine["spread_bps"].mean()),
        "slippage": (-bridge["slippage_bps"], -mine["slippage_bps"].mean()),
        "fees": (-bridge["fee_bps"], -mine["fee_bps"].mean()),
        "funding": (bridge["funding_bps"], mine["funding_bps"].mean()),
        "net": (bridge["net_bps"], mine["net_bps"].mean()),
    }
    for name, values in told.items():
        assert line(rows, name)[1:3] == [signed(v) for v in values], name
    for k in (0, 1):
        *parts, net = (values[k] for values in told.values())
        assert math.fsum(parts) == pytest.approx(net, abs=1e-9)
    stress = ran.tables.stress.filter(strategy_id=NAME, scenario="base")
    by_segment = dict(stress.select("segment", "net_bps").iter_rows())
    assert line(rows, "net")[3:] == [signed(by_segment[s]) for s in ("in_sample", "holdout")]
    assert line(rows, "trades")[2] == str(mine.height)
    assert "not told apart" not in render_strategy_page(page)
    text = render_strategy_page(page)
    assert f"<title>fees: {signed(told['fees'][1])} bps</title>" in text


def test_a_part_that_does_not_add_up_is_shown_and_not_swallowed(ran: Executed) -> None:
    bent = ran.tables.trades.with_columns(pl.col("net_bps") + 1.0)
    rows = rows_of(sheet(ran, tables=replace(ran.tables, trades=bent)))
    assert line(rows, "not told apart") == ["not told apart", "–", "+1.00", "+1.00", "+1.00"]


def test_equity_ends_at_the_sum_of_days_and_paper_at_what_trades_would_have_made(
    ran: Executed, page: StrategyPage
) -> None:
    assert page.daily is not None
    returns = ran.tables.returns.filter(strategy_id=NAME)
    assert math.fsum(page.daily.net_bps) == pytest.approx(returns["net_bps"].sum(), abs=1e-9)
    trades = ran.base.trades.filter(strategy_id=NAME, status="filled")
    paper_usd = (trades["gross_usd"] + trades["latency_usd"]).sum()
    capital = returns["capital_usd"][0]
    assert math.fsum(page.daily.paper_bps) == pytest.approx(1e4 * paper_usd / capital, abs=1e-6)
    text = render_strategy_page(page)
    assert text.count('class="shade"') == 3, "the holdout in equity, prices and results"
    assert ">on paper</text>" in text


def test_falls_and_calendar_are_those_of_the_days(ran: Executed, page: StrategyPage) -> None:
    assert page.daily is not None
    net = [v if k % 3 else -2.0 * v for k, v in enumerate(page.daily.net_bps)]
    bent = replace(page, daily=replace(page.daily, net_bps=tuple(net)))
    rows = rows_of(bent)
    falls = worst_drawdowns(page.daily.days, net)
    start = next(k for k, row in enumerate(rows) if row[0] == "peak") + 1
    told = [row[3:] for row in rows[start : start + len(falls)]]
    assert told == [[f"{d.depth_bps:.1f}", str(d.days)] for d in falls]
    week = line(rows, f"{page.daily.days[0]:%b %d}")
    assert week[1:7] == [signed(v, 1) for v in net[:6]]
    assert week[7:] == ["", signed(math.fsum(net), 1)]
    text = render_strategy_page(bent)
    assert text.count(' held">') == len(page.daily.days) - page.daily.holdout
    assert 'class="under"' in text
    rising = replace(page, daily=replace(page.daily, net_bps=(1.0,) * 6))
    assert "never below its peak" in render_strategy_page(rising)
    assert 'class="under"' not in render_strategy_page(rising)


def test_trades_on_the_price_are_all_there_and_the_extremes_are_listed(
    ran: Executed, page: StrategyPage
) -> None:
    text, rows = render_strategy_page(page), rows_of(page)
    closed = ran.base.trades.filter(strategy_id=NAME, status="filled")
    marks = re.findall(r'<path class="(?:won|lost)" d="', text)
    assert len(marks) == closed.height + 3, "every trade, and three from near"
    ranked = sorted(closed["net_bps"].to_list(), reverse=True)
    shown = [row[10] for row in rows if len(row) == 13 and row[0][:2] == "20"]
    assert shown == [signed(v) for v in [*ranked[:5], *reversed(ranked[-5:])]]
    assert f"The best trade: {ranked[0]:+.1f} bps" in text
    assert "assumed spread" in text
    empty = replace(page, prices=Prices("BTC", [], []))
    assert "holds no price of the symbol" in render_strategy_page(empty)
    refused = replace(page, prices="D0 refuses <BTC>.")
    assert "No prices can be drawn: D0 refuses &lt;BTC&gt;." in render_strategy_page(refused)


def test_stresses_ways_and_assumptions_stand_with_their_figures(
    ran: Executed, page: StrategyPage
) -> None:
    rows = rows_of(page)
    for name, words in (("base", "as it is"), ("costs_x2", "costs ×2"), ("hold_x0.5", "hold ×0.5")):
        held = ran.tables.stress.filter(strategy_id=NAME, scenario=name)
        by_segment = dict(held.select("segment", "net_bps").iter_rows())
        wanted = {signed(by_segment[s]) for s in ("in_sample", "holdout")}
        assert wanted <= set(line(rows, words)), name
    order = [row[0] for row in rows if row[0].startswith("overlay")]
    assert order == [f"overlay {n}bps" for n in (25, 50, 75, 100)]
    ways = ran.tables.executions.filter(strategy_id=NAME)
    for row in ways.iter_rows(named=True):
        costs = row["scenario"].replace("costs_x", "costs ×")
        name = f"{ENTRIES[row['entry']]}, {row['latency_s']:g} s"
        name += "" if costs == "as_is" else f", {costs}"
        told = next(r for r in rows if r[0].removesuffix(" (the worst)") == name)
        assert told[4] == signed(row["net_bps"])
    assert sum("(the worst)" in row[0] for row in rows) == 1
    swept = ways.filter(~pl.col("judged"), pl.col("scenario") != "as_is").height
    assert f"Dearer costs and stress: {swept} further ways" in render_strategy_page(page)
    ledger = ran.tables.assumptions.filter(strategy_id=NAME)
    begin = next(k for k, row in enumerate(rows) if row[0] == "assumption") + 1
    priced = {row[0]: row for row in rows[begin : begin + ledger.height]}
    for row in ledger.iter_rows(named=True):
        name = row["assumption"].replace("_", " ")
        told = priced["all at once" if name == "all" else name]
        assert told[6] == signed(row["worth_bps"])
        assert told[8] == signed(row["worth_usd"], 0)
    worth = dict(ledger.select("assumption", "worth_bps").iter_rows())
    dearest = max((n for n in worth if n != "all"), key=lambda n: worth[n])
    assert next(iter(priced)) == dearest.replace("_", " ")
    assert [*priced][-1] == "all at once"
    assert "do not add up to the last one" in render_strategy_page(page)


def test_every_moved_parameter_has_its_chart_and_says_what_the_rule_was(ran: Executed) -> None:
    whole = ran.tables.stress.drop("parameter", "note", strict=False)
    executed = whole.filter(pl.col("model") == "executed")
    hold = whole.filter(pl.col("scenario").str.starts_with("hold_x"))
    plain = pl.concat([executed, hold])
    moved = [
        hold.filter(scenario="hold_x0.5").with_columns(
            scenario=pl.lit(scenario), parameter=pl.lit(parameter), note=pl.lit(note)
        )
        for scenario, parameter, note in (
            ("late_2min", "delay", "decided 2 min late"),
            ("drop_z x0.9", "drop_z", "z below -2.7"),
            ("drop_z x1.1", "drop_z", "NOT_EVALUABLE: no feature"),
        )
    ]
    told = pl.concat([plain, *moved], how="diagonal")
    text = render_strategy_page(sheet(ran, tables=replace(ran.tables, stress=told)))
    charts = re.findall(r"Net per trade as (\w+) is moved, on bars", text)
    assert charts == ["delay", "hold", "drop_z"], "the rule, then its event"
    rows = opens_alone(text).rows
    assert line(rows, "late 2min")[-1] == "decided 2 min late"
    assert line(rows, "drop z ×1.1")[-1] == "NOT_EVALUABLE: no feature"
    untold = render_strategy_page(sheet(ran, tables=replace(ran.tables, stress=plain)))
    assert "the rule then" not in untold


def test_figures_of_resampling_stand_with_their_error_where_it_is_known(ran: Executed) -> None:
    names = [c for c in ran.tables.risk.columns if c.startswith("legacy")]
    plain = ran.tables.risk.drop(names)
    risk = plain.with_columns(sharpe_p5=pl.lit(2.5), sharpe_p5_error=pl.lit(0.125))
    rows = rows_of(sheet(ran, tables=replace(ran.tables, risk=risk)))
    assert line(rows, "Sharpe, 5 % worst")[1] == "2.5 ± 0.125"
    assert not [row for row in rows if "legacy" in row[0]]
    legacy = risk.with_columns(legacy_sharpe_252=pl.lit(1.5))
    rows = rows_of(sheet(ran, tables=replace(ran.tables, risk=legacy)))
    assert line(rows, "Sharpe, legacy")[1:4] == ["1.5"] * 3


def test_risk_stands_by_segment_and_a_missing_figure_says_why(
    ran: Executed, page: StrategyPage
) -> None:
    rows = rows_of(page)
    both = ran.tables.risk.filter(strategy_id=NAME, segment="both").row(0, named=True)
    assert line(rows, "figure")[1:4] == ["in sample", "holdout", "both"]
    assert line(rows, "winning trades")[3] == f"{both['win_rate']:.3g}"
    why = {
        "sortino": "NO_LOSING_DAY",
        "time_to_recovery_days": "NOT_RECOVERED",
        "profit_factor_p5": "FEWER_THAN_2_BLOCKS",
    }
    gone = [pl.lit(None, pl.Float64).alias(name) for name in (*why, "sharpe_p5")]
    bent = ran.tables.risk.with_columns(*gone, reasons=pl.lit(json.dumps(why)))
    rows = rows_of(sheet(ran, tables=replace(ran.tables, risk=bent)))
    assert line(rows, "Sortino")[1:4] == ["– no day lost"] * 3
    assert line(rows, "recovery")[1:4] == ["– not yet"] * 3
    assert line(rows, "profit factor, 5 % worst")[1:4] == ["– fewer than 2 blocks"] * 3
    assert line(rows, "Sharpe, 5 % worst")[1:4] == ["–"] * 3


def test_the_verdict_names_the_gate_that_stopped_it(ran: Executed, page: StrategyPage) -> None:
    text = render_strategy_page(page)
    assert "B passed; S (outside its fit and under stress) says fail: STRESS." in text
    assert "Not admissible: it did not pass S." in text
    assert "Assumed, not measured: spreads, marks of settlements." in text
    rows = rows_of(page)
    assert line(rows, "S min oos net bps")[1:] == ["≥ 0", "3.25"]
    assert line(rows, "S max oos p")[1:] == ["≤ 0.05", "–"]
    generated = render_strategy_page(sheet(ran, synthetic=True, waived=("V1",)))
    assert "its market is generated; V1 was waived; it did not pass S." in generated


def test_what_was_only_executed_gets_a_shorter_page(ran: Executed) -> None:
    loser = render_strategy_page(sheet(ran, LOSER))
    rows = opens_alone(loser).rows
    assert "It was not backtested, so that it has no days of its own" in loser
    assert "Its single trades were not kept" in loser
    assert "It was not stressed" in loser
    assert "No assumption was priced" in loser
    assert "EXPECTANCY_NOT_POSITIVE" in loser
    assert len(line(rows, "net")) == 2, "the bridge's column alone"
    assert "(the worst)" in loser
    silent = render_strategy_page(sheet(ran, SILENT))
    opens_alone(silent)
    assert "It never traded: its rule gave no entry before the holdout." in silent
    assert "No trade was closed, so that there is nothing to take apart." in silent
    assert "<svg" not in silent


@pytest.mark.parametrize(
    "name",
    [
        "executions",
        "blueprints",
        "returns",
        "trades",
        "risk",
        "stress",
        "assumptions",
        "candidates",
    ],
)
def test_a_table_that_was_not_made_costs_its_part_alone(ran: Executed, name: str) -> None:
    frame = getattr(ran.tables, name)
    gone = [frame.clear()] if name == "candidates" else [None, frame.clear()]
    for instead in gone:
        tables = replace(ran.tables, **{name: instead})
        text = render_strategy_page(sheet(ran, tables=tables))
        opens_alone(text)
        assert not re.search(r"<svg[^>]*></svg>", text), "no empty chart"


def test_names_and_words_are_text_and_never_markup(ran: Executed) -> None:
    evil = '"><b>&'

    def renamed(frame: Any) -> Any:
        if not isinstance(frame, pl.DataFrame):
            return frame
        texts = [c for c in ("strategy_id", "candidate_id") if c in frame.columns]
        words = [c for c in ("base", "conservative", "assumption", "way") if c in frame.columns]
        return frame.with_columns(
            *(pl.col(c).replace({NAME: evil}) for c in texts),
            *(pl.col(c) + evil for c in words),
            *([pl.lit(evil).alias("event_type")] if "event_type" in frame.columns else []),
            *([pl.lit(evil).alias("symbol")] if "symbol" in frame.columns else []),
        )

    bad = StrategyTables(
        **{f.name: renamed(getattr(ran.tables, f.name)) for f in fields(StrategyTables)}
    )
    source = prices_of(ran.study)
    made = strategy_page(facts_of(ran.study), bad, evil, {}, lambda _: source("BTC"))
    text = render_strategy_page(replace(made, prices=replace(made.prices, symbol=evil)))
    assert evil not in text
    opens_alone(text)
    listed = render_strategies_page("study_x", "market_y", [made], {evil: "strategies/x.html"})
    assert evil not in listed
    opens_alone(listed)


def test_the_list_has_every_strategy_the_furthest_first(ran: Executed) -> None:
    sheets = [sheet(ran, name) for name in (SILENT, LOSER, NAME)]
    assert [p.name for p in in_order(sheets)] == [NAME, LOSER, SILENT]
    links = {p.name: f"strategies/{p.name}.html" for p in sheets}
    text = render_strategies_page("study_x", "market_y", sheets, links, "digest")
    elements = opens_alone(text)
    assert text == render_strategies_page("study_x", "market_y", sheets[::-1], links, "digest")
    assert {a["href"] for a in elements.all("a")} >= set(links.values())
    assert "3 reached the bridge; gate B admits 1, S 0, P 0." in text
    assert text.count('<svg class="spark"') == 1
    rows = [row for row in elements.rows if len(row) == 10][1:]
    bridge = ran.tables.bridge.filter(strategy_id=NAME).row(0, named=True)
    assert rows[0][5] == signed(bridge["net_bps"])
    assert rows[2][1:4] == ["NOT EVALUABLE", "–", "–"]
    none = render_strategies_page("study_x", "market_y", [], {})
    opens_alone(none)
    assert "No candidate passed V1" in none


def test_a_year_with_five_hundred_trades_is_a_light_page(page: StrategyPage) -> None:
    assert page.daily is not None
    assert page.trades is not None
    n_days, copies = 365, -(-500 // page.trades.height)
    first = page.daily.days[0]
    gap = timedelta(days=n_days // copies)
    instants = ("decided_at", "left_at", "entry_at", "exit_at")
    trades = pl.concat(
        page.trades.with_columns((pl.col(c) + k * gap).cast(TS) for c in instants)
        for k in range(copies)
    )
    net = np.random.default_rng(1).normal(5.0, 30.0, n_days)
    daily = replace(
        page.daily,
        days=tuple(first + timedelta(days=k) for k in range(n_days)),
        net_bps=tuple(net.tolist()),
        paper_bps=tuple((net + 9.0).tolist()),
        holdout=270,
    )
    facts = replace(
        page.facts,
        days=(first, first + timedelta(days=n_days - 1)),
        holdout_from=first + timedelta(days=270),
    )
    start = page.prices.at_us[0]
    minutes = n_days * 1440
    close = 50_000 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 3e-4, minutes)))
    prices = Prices("BTC", range(start, start + minutes * 60_000_000, 60_000_000), close.tolist())
    text = render_strategy_page(
        replace(page, facts=facts, daily=daily, trades=trades, prices=prices)
    )
    opens_alone(text)
    assert trades.height >= 500
    assert len(text.encode()) < 500_000
    assert "Net by month" in text
    assert "Net by day" not in text
