"""The columns of `phase2_candidates`: one row per candidate, tested or not."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema
from quantlab_pipeline.core.verdicts import Outcome

SIDES = {1: "with", -1: "against"}
"""How a side is spelt in a candidate's name: with its template's sign, or against it."""


def _text(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.String, "", meaning, nullable)


def _count(name: str, unit: str, meaning: str) -> Column:
    return Column(name, pl.Int64, unit, meaning, ge=0)


def _bps(name: str, meaning: str, ge: float | None = None) -> Column:
    return Column(name, pl.Float64, "bps", meaning, True, ge)


def _number(name: str, meaning: str, ge: float | None = None, le: float | None = None) -> Column:
    return Column(name, pl.Float64, "1", meaning, True, ge, le=le)


_IDENTITY = (
    _text("candidate_id", "Readable name with the first characters of its hash; stable."),
    _text("candidate_hash", "What the trial is, without code: the ledger's key."),
    _text("event_type", "Name in the event registry."),
    _text("bucket", "Context at t0: all, or one regime."),
    _text("horizon", "How long the position is held."),
    _text("template", "Rule that gives the position's sign at t0."),
    Column("side", pl.Int64, "", "+1 trades the template's sign, -1 against it.", ge=-1, le=1),
)

_COUNTS = (
    _count("n_events", "rows", "Events traded: entry and exit lie inside the window."),
    _count("n_dropped", "rows", "Events of the cell left out: no sign, no price, truncated."),
    _count("active_days", "days", "Days with a decision."),
    _number("n_eff", "Independent events that would give the same standard error.", 0),
    Column("eff_days", pl.Float64, "days", "(sum Y_d^2)^2 / sum Y_d^4 of day sums.", True, 0),
)

_EFFECT = (
    _bps("gross_bps", "Mean simple return per event, funding inside, before costs."),
    _bps("cost_bps", "Mean round-trip cost of these events, conservative profile.", 0),
    _bps("net_bps", "gross_bps - cost_bps."),
    _bps("se_bps", "Standard error of the effect by the binding statistic."),
    _bps("sigma_h_bps", "Deviation of the events' gross returns.", 0),
    _bps("mde80_bps", "Effect found with probability 0.8 at the family's first BH step.", 0),
    _number("cost_breakeven", "gross_bps / cost_bps: multiple of the costs that eats the effect."),
)

_INFERENCE = (
    _number("z_raw", "Calendar-time z of the effect net of cost."),
    _number("z_contrast", "The same against the symbols' own drift over the window."),
    _number("z_naive", "t of the events' net returns as if independent; for comparison only."),
    _number("t_day", "Centred t of gross day sums; for comparison only."),
    _number("p", "One-sided: the larger of the raw and the contrast p.", 0, 1),
    _number("q_bh", "Benjamini-Hochberg q at the lineage's budget.", 0, 1),
    _number("q_by", "Benjamini-Yekutieli q at the lineage's budget.", 0, 1),
    _count("m_budget", "trials", "Number of tests that q_bh, q_by and mde80_bps count."),
)

_ROBUSTNESS = (
    _number("stability", "Share of slices with a positive net mean.", 0, 1),
    _count("n_slices", "slices", "Slices with enough days to be looked at."),
    _text("worst_slice", "Slice with the lowest z of the gross effect.", True),
    _number("worst_slice_z", "That z."),
    _number("slice_holm_p", "Smallest Holm-adjusted p for a negative gross effect.", 0, 1),
    _number("heterogeneity_q", "Cochran's Q of the least homogeneous partition.", 0),
    _number("heterogeneity_p", "Its chi-square p, times the number of partitions.", 0, 1),
    Column("capacity_usd", pl.Float64, "USD", "Most profitable notional per trade.", True, 0),
    _number("assumed_spread_share", "Share of spreads that no book measured.", 0, 1),
)

_VERDICT = (
    _text("not_evaluable", "Why the candidate could not be tested; null if it was.", True),
    Column("status", pl.String, "", "V1's outcome.", isin=tuple(o.value for o in Outcome)),
    _text("reason_codes", "Codes joined by `;`, empty for a pass."),
    Column("admissible", pl.Boolean, "", "Passed, on real data, with no waiver upstream."),
)

PHASE2_CANDIDATES = TableSchema(
    "phase2_candidates",
    (*_IDENTITY, *_COUNTS, *_EFFECT, *_INFERENCE, *_ROBUSTNESS, *_VERDICT),
    key=("candidate_id",),
)
