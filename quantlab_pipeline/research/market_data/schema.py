"""The market_data tables' columns. Bars, funding, mark and index, open interest, top of book,
basis, the QA report and the universe; nothing derived for decisions (that is `features`).
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.columns import (
    AVAILABLE_AT,
    SYMBOL,
    TS_COLUMN,
    Column,
    TableSchema,
    count,
    figure,
    text,
)

HEAD = (SYMBOL, TS_COLUMN, AVAILABLE_AT)
LEG = Column("leg", pl.String, "", "Which book: perp or spot.", isin=("perp", "spot"))


def _price(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.Float64, "quote", meaning, nullable=nullable, gt=0)


def _amount(name: str, unit: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.Float64, unit, meaning, nullable=nullable, ge=0)


_BARS = (
    *HEAD,
    Column("open_ts", TS, "UTC", "Instant at which the bar opened."),
    _price("open", "First trade's price; the carried price where no trade happened."),
    _price("high", "Highest trade price."),
    _price("low", "Lowest trade price."),
    _price("close", "Last trade's price."),
    _amount("volume_base", "base", "Traded volume."),
    _amount("volume_quote", "quote", "Traded value; null where the source has none.", True),
    count("n_trades", "rows", "Number of trades; null where the source has none.", True),
    _amount("taker_buy_base", "base", "Volume bought by takers; null if unknown.", True),
)

BARS_1M_PERP = TableSchema("bars_1m_perp", _BARS)
BARS_1M_SPOT = TableSchema("bars_1m_spot", _BARS)

FUNDING = TableSchema(
    "funding",
    (
        *HEAD,
        Column("raw_ts", TS, "UTC", "Settlement stamp as published, jitter kept."),
        Column("settled_rate", pl.Float64, "1", "Rate paid at `ts` by longs to shorts."),
        Column("interval_h", pl.Int64, "h", "Hours since the settlement before.", gt=0, le=24),
        Column("next_funding_ts", TS, "UTC", "Next settlement as known at this one."),
        _price("mark_price", "Mark price at settlement; null where unpublished.", True),
    ),
)

MARK_INDEX = TableSchema(
    "mark_index",
    (
        *HEAD,
        _price("mark_price", "Mark price at the minute's close."),
        _price("index_price", "Index price at the minute's close.", True),
        figure("premium_index", "1", "Premium index at the minute's close."),
        figure("predicted_rate", "1", "The venue's own estimate of the next rate, as streamed."),
        Column("next_funding_ts", TS, "UTC", "Next settlement, as streamed.", True),
    ),
)

FUNDING_STATE = TableSchema(
    "funding_state",
    (
        *HEAD,
        figure("predicted_rate", "1", "Estimate at `ts` of the rate of the next settlement."),
        Column(
            "predicted_source",
            pl.String,
            "",
            "venue: as streamed; formula: from the premium index.",
            True,
            isin=("venue", "formula"),
        ),
        figure("last_settled_rate", "1", "Rate of the last settlement known at `ts`."),
        Column("last_settled_ts", TS, "UTC", "That settlement; null before the first.", True),
        Column("next_funding_ts", TS, "UTC", "Next settlement as known at `ts`.", True),
        Column("interval_h", pl.Int64, "h", "Interval in force as known at `ts`.", True, gt=0),
    ),
)

OPEN_INTEREST = TableSchema(
    "open_interest",
    (
        *HEAD,
        Column("bucket_start", TS, "UTC", "Venue's stamp: the 5-minute bucket's start."),
        _amount("oi_base", "base", "Open interest at the bucket's end."),
        _amount("oi_usd", "USD", "Its value; null where unpublished.", True),
    ),
)

TOB_SNAPSHOTS = TableSchema(
    "tob_snapshots",
    (
        SYMBOL,
        LEG,
        TS_COLUMN,
        AVAILABLE_AT,
        figure("bid_px", "quote", "Best bid, as sent, valid or not."),
        figure("bid_qty", "base", "Size at the best bid, as sent."),
        figure("ask_px", "quote", "Best ask, as sent, valid or not."),
        figure("ask_qty", "base", "Size at the best ask, as sent."),
        _amount("quote_age_s", "s", "Age of the quote at `ts`."),
        count("n_updates", "rows", "Quote messages since the grid point before."),
    ),
    key=("symbol", "leg", "ts"),
)

TOB_1M_AGG = TableSchema(
    "tob_1m_agg",
    (
        SYMBOL,
        LEG,
        TS_COLUMN,
        AVAILABLE_AT,
        _amount("spread_bps_mean", "bps", "Time-weighted mean spread of the valid seconds.", True),
        _amount("spread_bps_median", "bps", "Median spread of the valid seconds.", True),
        _amount("spread_bps_max", "bps", "Widest valid spread.", True),
        _amount("depth_usd_mean", "USD", "Mean value at both best prices.", True),
        _amount("depth_usd_min", "USD", "Thinnest valid second.", True),
        Column("imbalance_mean", pl.Float64, "1", "Mean of (bid-ask)/(bid+ask) size.", True, -1),
        _amount("imbalance_std", "1", "Sample deviation of the imbalance.", True),
        _price("bid_last", "Best bid of the last valid second.", True),
        _price("ask_last", "Best ask of the last valid second.", True),
        _price("mid_last", "Mid of the last valid second.", True),
        count("n_updates", "rows", "Quote messages in the minute."),
        count("n_locked", "rows", "Seconds with bid = ask."),
        count("n_crossed", "rows", "Seconds with bid > ask."),
        count("n_stale", "rows", "Seconds whose quote was older than the limit."),
        count("n_invalid", "rows", "Seconds with a missing or non-positive price or size."),
        Column("valid_frac", pl.Float64, "1", "Share of valid seconds.", ge=0, le=1),
        _amount("staleness_s", "s", "Age of the last quote at the minute's close.", True),
    ),
    key=("symbol", "leg", "ts"),
)

BASIS_STATE = TableSchema(
    "basis_state",
    (
        *HEAD,
        _price("perp_mid", "Perpetual's mid (or close) at `ts`."),
        _price("spot_mid", "Spot's mid (or close) at `ts`."),
        Column("basis_bps", pl.Float64, "bps", "1e4 ln(perp_mid / spot_mid)."),
        Column("basis_source", pl.String, "", "mid or close.", isin=("mid", "close")),
        _amount("skew_s", "s", "Distance in time of the two quotes; null for closes.", True),
    ),
)

_REPORT = (
    SYMBOL,
    TS_COLUMN,
    text("dataset", "Table that was examined; tob_perp, tob_spot: the books."),
    text("check", "What was looked for."),
    count("count", "rows", "Rows (or minutes) at fault; 0 says that it was looked for."),
    Column("first_ts", TS, "UTC", "First place at fault.", True),
    text("detail", "What was seen, for a person.", True),
    Column("places", pl.List(TS), "UTC", "Every instant at fault, ascending; by the minute."),
)
_REPORT_KEY = ("symbol", "dataset", "check", "ts")

RAW_FINDINGS = TableSchema("raw_findings", _REPORT, key=_REPORT_KEY)
"""What parsing set aside, before the examination adds to it; `ts` is the day's end."""

QA_REPORT = TableSchema("qa_report", _REPORT, key=_REPORT_KEY)

MEMBER_REASONS = ("MARKET_START", "LISTED", "BACK_AFTER_D0", "D0_ADMITTED", "DELISTED")

UNIVERSE = TableSchema(
    "universe",
    (
        *HEAD,
        Column(
            "valid_from", TS, "UTC", "First instant of membership that a week's lookback knows."
        ),
        Column("valid_to", TS, "UTC", "Last instant of membership; null while it lasts.", True),
        _amount("liquidity_usd", "USD", "Median daily traded value known before the day.", True),
        Column("liquidity_rank", pl.Int64, "", "1 is the most liquid.", True, 1),
        Column("reason", pl.String, "", "Why the symbol is a member.", isin=MEMBER_REASONS),
    ),
)

MEMBERSHIP = TableSchema(
    "membership",
    (
        SYMBOL,
        Column("valid_from", TS, "UTC", "First instant of the spell."),
        Column("valid_to", TS, "UTC", "Last instant of the spell; null while it lasts.", True),
        Column("is_member", pl.Boolean, "", "Whether the symbol was in the universe."),
        text("reason", "Why it was, or was not: codes of the universe, or D0's reasons."),
    ),
    key=("symbol", "valid_from"),
)
"""What a person is told of a range of days; no table of the lake."""

LANDED = (BARS_1M_PERP, BARS_1M_SPOT, FUNDING, MARK_INDEX, OPEN_INTEREST, TOB_SNAPSHOTS)
"""The datasets: tables that a source fills."""

MARKET_DATA = (*LANDED, TOB_1M_AGG, BASIS_STATE, FUNDING_STATE)
"""The datasets and what is derived from them, which research reads once D0 admitted it."""
