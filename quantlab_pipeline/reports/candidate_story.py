"""Why a candidate stands or fell, in sentences: naive against ours, and what a pass would need.

Pure: from one row of `phase2_candidates` to text. Which candidate, and how it is shown, is the
command's or the board's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation import flags
from quantlab_pipeline.research.validation import gate as v1
from quantlab_pipeline.research.validation.schema import LAGS_MIN, NAIVE_Z
from quantlab_pipeline.research.validation.spec import FlagThresholds, V1Thresholds

Row = Mapping[str, Any]


VERDICTS = {
    Outcome.PASS: "It stands: net of its own costs, with every trial of the budget counted, and in "
    "every slice that could be looked at.",
    Outcome.WAIVED: "A person's waiver admitted it, not its figures. Nothing made from it is "
    "admissible.",
    Outcome.FAIL: "It does not stand, and the data would have shown an effect worth having.",
    Outcome.UNDERPOWERED: "The data cannot tell: this is no evidence of an edge, and none that "
    "there is no edge.",
    Outcome.NOT_EVALUABLE: "It could not be judged. Its figures below decide nothing.",
}
"""What an outcome of V1 means for a reader."""


def question_of(row: Row) -> str:
    """What the candidate asks, in a sentence."""
    side = "with" if row["side"] > 0 else "against"
    return (
        f"After {row['event_type']}, context {row['bucket']}: trade {side} the {row['template']} "
        f"rule for {row['horizon']}."
    )


def nearly_the_same(row: Row) -> str | None:
    """That a better candidate asks nearly the same; None if none does."""
    if row["similar_to"] is None:
        return None
    return (
        f"Nearly the same as {row['similar_to']}, which ranks better: of the signed events of both "
        f"{_shown(_percent(row['similarity']), 0)} % are shared. It is no second finding."
    )


def needed_z(q: float, budget: int, kept: int) -> float:
    """The z that one more candidate needs beside `kept` ones at level `q`: BH's next step."""
    from quantlab_pipeline.research.validation.multiplicity import first_step_z

    return first_step_z(q * (kept + 1), max(budget, 1))


def naive_against_ours(row: Row, z_needed: float) -> str:
    """The plain t-test's answer beside ours; `z_needed` as `needed_z` gives it."""
    naive, ours = row["z_naive"], binding_z(row)
    if ours is None:
        return "It was not tested, so there is no t to compare."
    if naive is None:
        return f"A plain t-test needs two events or more. With what there is, z = {ours:.2f}."
    verdict = "significant" if naive > NAIVE_Z else "not significant"
    return (
        f"A plain t-test on the same events says t = {naive:.2f}: {verdict} at 5 % one-sided. With "
        f"overlap, common shocks and the symbols' own drift counted, z = {ours:.2f}; one more "
        f"survivor among {row['m_budget']:,} trials needs {z_needed:.2f}."
    )


def what_it_needs(
    row: Row, limits: V1Thresholds, z_needed: float, codes: Sequence[str] | None = None
) -> list[str]:
    """What would have to be true for a pass, one sentence a reason code; empty for a pass.

    `codes` are the verdict's own, where they are not the row's.
    """
    if codes is None:
        codes = [c for c in (row["reason_codes"] or "").split(";") if c]
    return [_need(code, row, limits, z_needed) for code in codes]


def what_to_know(row: Row, limits: FlagThresholds) -> list[str]:
    """One sentence a flag; empty without flags."""
    told = []
    for flag in (f for f in (row["flags"] or "").split(";") if f):
        code = flag.partition(":")[0]
        known = _FLAGS.get(code)
        told.append(f"{flag}: {known(row, limits)}" if known else flag)
    return told


def in_short(row: Row, study: Row | None) -> list[str]:
    """Costs, capacity and slices of a followed candidate, a line each; empty for another one."""
    if study is None:
        return []
    return [
        f"Costs     {_costs(row, study)}",
        f"Capacity  {_sizes(study)}",
        f"Slices    {_places(study)}",
    ]


def break_even(study: Row, axis: str) -> float | None:
    """The value of a cost axis at which nothing is left; None where none does it."""
    return next((r["value"] for r in study["break_evens"] if r["axis"] == axis), None)


def _costs(row: Row, study: Row) -> str:
    multiple, slip = break_even(study, "all"), break_even(study, "slippage")
    if multiple is None:
        return "it loses before costs: no cost is low enough."
    net = {r["value"]: r["net_bps"] for r in study["cost_sweep"] if r["axis"] == "all"}
    swept = ", ".join(f"{net[m]:+.1f} at x{m:g}" for m in (0.5, 1.0, 1.5, 2.0))
    slipped = "" if slip is None else f", or {slip:.2f} bps of slippage a side"
    return (
        f"net {swept}; nothing is left at x{multiple:.2f} ({row['gross_bps']:.1f} bps a round trip"
        f"){slipped}."
    )


def _sizes(study: Row) -> str:
    limit = study["break_even_usd"]
    if limit is None:
        return "impact costs nothing under this profile."
    if limit == 0.0:
        return "no size pays: the effect does not cover fees and spreads."
    told = (
        f"{_shown(study['best_usd'], 0)} USD a trade earns most, "
        f"{_shown(study['best_pnl_usd_per_day'], 0)} USD a day; at {limit:,.0f} USD impact eats "
        "all."
    )
    return f"{told} {beyond_the_cap(study) or ''}".rstrip()


def beyond_the_cap(study: Row) -> str | None:
    """That the best size is more than an order can take of a minute; None where it is not."""
    best, cap = study["best_usd"], study["cap_usd"]
    if best is None or best <= cap:
        return None
    return (
        f"One order that takes a tenth of a minute's volume is {cap:,.0f} USD: a larger trade must "
        "be worked, and the law says nothing of how long that takes."
    )


def _places(study: Row) -> str:
    slices = study["slices"]
    if not slices:
        return "no part of its events spans enough days."
    earning = sum(s["net_bps"] > 0.0 for s in slices)
    worst = min(slices, key=lambda s: s["z"])
    return (
        f"{earning} of {len(slices)} earn more than their cost; the weakest is "
        f"{worst['partition']}={worst['label']}, {worst['mean_bps']:+.1f} bps before costs "
        f"(z {worst['z']:+.2f}, Holm p {worst['holm_p']:.2g})."
    )


def fading(row: Row) -> list[tuple[int, float, float]]:
    """(minutes late, gross bps, standard error) as every event comes later; empty if unmeasured."""
    if row["lag_n_events"] is None:
        return []
    return [(k, row[f"lag{k}_bps"], row[f"lag{k}_se_bps"]) for k in LAGS_MIN]


def binding_z(row: Row) -> float | None:
    """The smaller of the raw and the contrast z; None if either is missing."""
    if row["z_raw"] is None or row["z_contrast"] is None:
        return None
    return float(min(row["z_raw"], row["z_contrast"]))


def _need(code: str, row: Row, limits: V1Thresholds, z_needed: float) -> str:
    known = _SENTENCES.get(code)
    if known is not None:
        return f"{code}: {known(row, limits, z_needed)}"
    if code.startswith(v1.DATASET_ABSENT):
        dataset = code.partition(":")[2] or "a dataset that it needs"
        return f"{code}: {dataset} must be there; without it the candidate cannot be tested."
    return f"{code}: this condition must no longer hold."


def _significance(row: Row, _: V1Thresholds, z_needed: float) -> str:
    z, se, net = binding_z(row), row["se_bps"], row["net_bps"]
    if z is None or se is None:
        return "it must be testable first."
    effect = f"a net effect of {z_needed * se:.1f} bps at this noise (it shows {net:.1f})"
    if z <= 0 < row["z_raw"]:
        return (
            f"{effect}; more data alone will not do it, for beside the symbols' own drift it does "
            "not earn its costs."
        )
    if z <= 0:
        return f"{effect}; more data alone will not do it, for the effect has the wrong sign."
    more = (z_needed / z) ** 2
    return f"{effect}, or {more:.1f} times as many independent events if the effect is as it shows."


def _net(row: Row, _: V1Thresholds, __: float) -> str:
    if row["gross_bps"] is None:
        return "it must be testable first."
    return (
        f"it must earn more than its own cost of {row['cost_bps']:.1f} bps a round trip; "
        f"it shows {row['gross_bps']:.1f} bps before costs."
    )


def _slices(row: Row, limits: V1Thresholds, _: float) -> str:
    return (
        f"it must not lose in any slice; in {row['worst_slice']} its z is "
        f"{_shown(row['worst_slice_z'])} (Holm p {_shown(row['slice_holm_p'])}, at least "
        f"{limits.holm_p} is needed)."
    )


def _capacity(row: Row, limits: V1Thresholds, _: float) -> str:
    return (
        f"its most profitable size is {_shown(row['capacity_usd'], 0)} USD a trade; "
        f"{limits.capacity_floor_usd:,.0f} is the least worth having."
    )


def _days(row: Row, limits: V1Thresholds, _: float) -> str:
    return f"events on at least {limits.min_active_days} days; it has {row['active_days']}."


def _n_eff(row: Row, limits: V1Thresholds, _: float) -> str:
    n_eff = _shown(row["n_eff"], 0)
    return (
        f"at least {limits.min_n_eff:.0f} independent events; its {row['n_events']} count for "
        f"{n_eff}."
    )


def _mde(row: Row, limits: V1Thresholds, _: float) -> str:
    limit, mde = v1.mde_limit_bps(row, limits), row["mde80_bps"]
    if limit is None or mde is None:
        return "it must be testable first."
    return (
        f"only an effect of {mde:.1f} bps could have been found with probability 0.8; "
        f"{limit:.1f} bps is the most that counts as a test, which takes "
        f"{(mde / limit) ** 2:.1f} times as many independent events."
    )


_SENTENCES: dict[str, Callable[[Row, V1Thresholds, float], str]] = {
    v1.NOT_SIGNIFICANT: _significance,
    v1.NET_NOT_POSITIVE: _net,
    v1.SLICE_NEGATIVE: _slices,
    v1.CAPACITY: _capacity,
    v1.FEW_DAYS: _days,
    v1.LOW_N_EFF: _n_eff,
    v1.MDE_TOO_LARGE: _mde,
    v1.NO_EVENTS: lambda *_: "it must occur: no event of it lies inside the days.",
    v1.E1_NOT_PASSED: lambda row, *_: f"its event type {row['event_type']} must pass gate E-1.",
    v1.BUDGET_SPENT: lambda *_: "fresh dates: this data's budget of trials is spent.",
    v1.FAMILY_CHANGED: lambda *_: "the whole family that its study registered, nothing left out.",
    v1.BUDGET_CHANGED: lambda *_: "the same trial budget as it was tested under: run it again.",
}


def _heterogeneous(row: Row, limits: FlagThresholds) -> str:
    return (
        f"no universal edge. It is {_shown(row['strongest_bps'], 1)} bps before costs in "
        f"{row['strongest_slice']} and {_shown(row['weakest_bps'], 1)} bps in "
        f"{row['weakest_slice']}; a homogeneous effect would show as much with p "
        f"{row['heterogeneity_p']:.2g} (below {limits.heterogeneity_p} is flagged)."
    )


def _same_bar(row: Row, limits: FlagThresholds) -> str:
    return (
        f"entered one minute later it keeps {row['lag1_share']:.0%} of its effect, a loss "
        f"{_shown(row['lag1_drop_z'], 1)} standard errors beyond that of a decay with a half-life "
        f"of {limits.half_life_min:g} minutes ({limits.same_bar_z:g} is flagged). Look for a "
        "feature that saw the bar of the entry, or a price that bounced back."
    )


_FLAGS: dict[str, Callable[[Row, FlagThresholds], str]] = {
    flags.HETEROGENEOUS: _heterogeneous,
    flags.SUSPECT_SAME_BAR: _same_bar,
}


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _shown(value: float | None, digits: int = 2) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"
