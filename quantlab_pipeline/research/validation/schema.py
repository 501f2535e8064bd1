"""The columns of `phase2_candidates`: one row per candidate, tested or not."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema, count, figure, text
from quantlab_pipeline.core.verdicts import Outcome

LAGS_MIN = (0, 1, 2, 3, 5)
"""Minutes by which every event of a survivor is delayed, to see how its effect fades."""

NAIVE_Z = 1.6448536269514722
"""Normal quantile of 0.95: from here on a plain one-sided t-test calls `z_naive` significant."""

SIDES = {1: "with", -1: "against"}
"""How a side is spelt in a candidate's name: with its template's sign, or against it."""


_IDENTITY = (
    text("candidate_id", "Readable name with the first characters of its hash; stable."),
    text("candidate_hash", "What the trial is, without code: the ledger's key."),
    text("event_type", "Name in the event registry."),
    text("bucket", "Context at t0: all, or one regime."),
    text("horizon", "How long the position is held."),
    text("template", "Rule that gives the position's sign at t0."),
    Column("side", pl.Int64, "", "+1 trades the template's sign, -1 against it.", ge=-1, le=1),
)

_COUNTS = (
    count("n_events", "rows", "Events traded: entry and exit lie inside the window."),
    count("n_dropped", "rows", "Events of the cell left out: no sign, no price, truncated."),
    count("active_days", "days", "Days with a decision."),
    figure("n_eff", "1", "Independent events that would give the same standard error.", 0),
    Column("eff_days", pl.Float64, "days", "(sum Y_d^2)^2 / sum Y_d^4 of day sums.", True, 0),
)

_EFFECT = (
    figure("gross_bps", "bps", "Mean simple return per event, funding inside, before costs."),
    figure("cost_bps", "bps", "Mean round-trip cost of these events, conservative profile.", 0),
    figure("net_bps", "bps", "gross_bps - cost_bps."),
    figure("se_bps", "bps", "Standard error of the effect by the smaller z; contrast: over kept."),
    figure("sigma_h_bps", "bps", "Deviation of the events' gross returns.", 0),
    figure("mde80_bps", "bps", "Net effect that both z find at the first BH step, power 0.8.", 0),
    figure("cost_breakeven", "1", "gross_bps / cost_bps: the multiple of costs that eats it."),
)

_INFERENCE = (
    figure("z_raw", "1", "Calendar-time z of the effect net of cost."),
    figure("z_contrast", "1", "The same against the symbols' own drift over the window."),
    figure("z_naive", "1", "t of the events' net returns as if independent; for comparison only."),
    figure("t_day", "1", "Centred t of gross day sums; for comparison only."),
    figure("z_hac", "1", "Net z by Bartlett over 1.5 horizons of event returns laid on minutes."),
    figure("z_two_way", "1", "Net z with events clustered by symbol and by day."),
    figure("p", "1", "One-sided: the larger of the raw and the contrast p.", 0, 1),
    figure("q_bh", "1", "Benjamini-Hochberg q at the lineage's budget.", 0, 1),
    figure("q_by", "1", "Benjamini-Yekutieli q at the lineage's budget.", 0, 1),
    figure(
        "q_hier", "1", "Least level of hierarchical BH (type, then candidate) that takes it.", 0
    ),
    figure("spa_p", "1", "Superior predictive ability: of the whole family, so in each row.", 0, 1),
    figure("stepm_p", "1", "Step-down p of daily net P&L: family-wise error over the study.", 0, 1),
    figure("deflated_sharpe", "1", "Chance that its daily Sharpe is no luck of all trials.", 0, 1),
    count("m_budget", "trials", "Number of tests that q_bh, q_by and mde80_bps count."),
)

_INTERVALS = (
    figure("ci95_low_bps", "bps", "Lower end of net_bps's 95 % interval, calendar time."),
    figure("ci95_high_bps", "bps", "Upper end of it."),
    figure("boot_se_bps", "bps", "Standard error of net_bps by stationary bootstrap of days.", 0),
    figure("boot_low_bps", "bps", "Lower end of its 95 % interval by the same draws."),
    figure("boot_high_bps", "bps", "Upper end of it."),
)

_LIKENESS = (
    text("similar_to", "Better candidate whose events and signs are nearly the same.", True),
    figure("similarity", "1", "Jaccard of signed events with the likest better candidate.", 0, 1),
    figure("score", "1", "The smaller z, less the penalty for likeness."),
    Column("rank", pl.Int64, "", "Place in the family by verdict and score; 1 is best.", ge=1),
)

_ROBUSTNESS = (
    figure("stability", "1", "Share of slices with a positive net mean.", 0, 1),
    count("n_slices", "slices", "Slices with enough days to be looked at."),
    text("worst_slice", "Slice with the lowest z of the gross effect.", True),
    figure("worst_slice_z", "1", "That z."),
    figure("slice_holm_p", "1", "Smallest Holm-adjusted p for a negative gross effect.", 0, 1),
    figure("heterogeneity_q", "1", "Largest squared z of a slice's mean over the others'.", 0),
    figure("heterogeneity_p", "1", "Its p, counting the slices and partitions looked at.", 0, 1),
    text("strongest_slice", "Slice of that partition that exceeds the others most.", True),
    figure("strongest_bps", "bps", "Mean gross effect in it."),
    text("weakest_slice", "Slice of that partition that falls short most.", True),
    figure("weakest_bps", "bps", "Mean gross effect in it."),
    Column("capacity_usd", pl.Float64, "USD", "Most profitable notional per trade.", True, 0),
    figure("assumed_spread_share", "1", "Share of spreads that no book measured.", 0, 1),
)

_FADING = (
    count("lag_n_events", "rows", "Events that every lag holds; null: not measured.", True),
    *(figure(f"lag{k}_bps", "bps", f"gross_bps of them, entered {k} min late.") for k in LAGS_MIN),
    *(figure(f"lag{k}_se_bps", "bps", "Its standard error.", 0) for k in LAGS_MIN),
    figure("lag1_share", "1", "lag1_bps / lag0_bps; null unless the latter is positive."),
    figure("lag1_drop_z", "1", "z of the first minute's loss beyond a smooth decay's."),
)

_VERDICT = (
    text("not_evaluable", "Why the candidate could not be tested; null if it was.", True),
    Column("status", pl.String, "", "V1's outcome.", isin=tuple(o.value for o in Outcome)),
    text("reason_codes", "Codes joined by `;`, empty for a pass."),
    text("flags", "What to know beside the verdict, joined by `;`; they do not change it."),
    Column("admissible", pl.Boolean, "", "Passed, on real data, with no waiver upstream."),
)

PHASE2_CANDIDATES = TableSchema(
    "phase2_candidates",
    (
        *_IDENTITY,
        *_COUNTS,
        *_EFFECT,
        *_INTERVALS,
        *_INFERENCE,
        *_ROBUSTNESS,
        *_FADING,
        *_LIKENESS,
        *_VERDICT,
    ),
    key=("candidate_id",),
)
