"""The research backlog: what a study asked of each event type, what came of it, what comes next.

Pure: from the study's tables to rows. A question that was never reached says so.
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import ADMITTED

SCHEMA = {
    "event_type": pl.String,
    "claim": pl.String,
    "status": pl.String,
    "tested": pl.Int64,
    "passed": pl.Int64,
    "best_candidate": pl.String,
    "best_net_bps": pl.Float64,
    "best_q": pl.Float64,
    "mde80_bps": pl.Float64,
    "missing": pl.String,
    "next_step": pl.String,
}

_NEXT = {
    "SURVIVED": "execute it: bridge and walk-forward",
    "UNDERPOWERED": "collect more days or symbols; an effect of the size sought could not be seen",
    "FALSIFIED": "do not ask again on these days; new data re-opens the question",
    "NOT_EVALUABLE": "get the missing dataset, or mend the event's definition",
}


def build_backlog(
    event_quality: pl.DataFrame | None, candidates: pl.DataFrame | None
) -> pl.DataFrame:
    """One row per event type, sorted by name. Tables that were not reached are None."""
    if event_quality is None:
        return pl.DataFrame(schema=SCHEMA)
    rows = []
    for quality in event_quality.sort("event_type").iter_rows(named=True):
        name = quality["event_type"]
        mine = None
        if candidates is not None:
            mine = candidates.filter(pl.col("event_type") == name)
        rows.append(_row(name, quality["missing_dataset"], mine))
    return pl.DataFrame(rows, schema=SCHEMA)


def _row(name: str, missing: str | None, mine: pl.DataFrame | None) -> dict[str, object]:
    tested = None if mine is None else mine.filter(pl.col("p").is_not_null())
    best = None
    if tested is not None and tested.height:
        best = tested.sort("p", "candidate_id").row(0, named=True)
    status = _status(mine, tested)
    return {
        "event_type": name,
        "claim": f"after {name}, returns net of cost differ from the symbols' own drift",
        "status": status,
        "tested": 0 if tested is None else tested.height,
        "passed": 0 if mine is None else mine.filter(_admitted()).height,
        "best_candidate": best and best["candidate_id"],
        "best_net_bps": best and best["net_bps"],
        "best_q": best and best["q_bh"],
        "mde80_bps": best and best["mde80_bps"],
        "missing": missing,
        "next_step": _NEXT.get(status, "run the study"),
    }


def _status(mine: pl.DataFrame | None, tested: pl.DataFrame | None) -> str:
    if mine is None or tested is None:
        return "NOT_REACHED"
    if mine.filter(_admitted()).height:
        return "SURVIVED"
    if not tested.height:
        return "NOT_EVALUABLE"
    return "UNDERPOWERED" if (tested["status"] == "UNDERPOWERED").any() else "FALSIFIED"


def _admitted() -> pl.Expr:
    return pl.col("status").is_in([o.value for o in ADMITTED])
