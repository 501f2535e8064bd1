"""The research backlog: what a study asked of each event type, what came of it, what comes next.

Pure: from the study's tables and its trials in the ledger to rows. A question that was never
reached says so; one that was falsified says on which days, and under which head of the ledger. Once
its data, its specs or the code have changed, it is open again.
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
    "asked_from": pl.String,
    "asked_until": pl.String,
    "ledger_head": pl.String,
    "next_step": pl.String,
}

TRIALS = {
    "event_type": pl.String,
    "status": pl.String,
    "p": pl.Float64,
    "asked_from": pl.String,
    "asked_until": pl.String,
    "ledger_head": pl.String,
    "recorded_at": pl.String,
}
"""Newest results of the study's candidates in the ledger; `recorded_at` is observed."""

OPEN_AGAIN = "OPEN_AGAIN"

_NEXT = {
    "SURVIVED": "execute it: bridge and walk-forward",
    "UNDERPOWERED": "collect more days or symbols; an effect of the size sought could not be seen",
    "FALSIFIED": "do not ask again on these days; new data re-opens the question",
    OPEN_AGAIN: "what it was falsified on has changed: run the study",
    "NOT_EVALUABLE": "get the missing dataset, or mend the event's definition",
}


def build_backlog(
    event_quality: pl.DataFrame | None,
    candidates: pl.DataFrame | None,
    trials: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row per event type, sorted by name. Tables that are not current are None.

    `trials` has the columns of `TRIALS`: what the ledger remembers when the tables are gone.
    """
    remembered = pl.DataFrame(schema=TRIALS) if trials is None else trials
    missing = dict.fromkeys(remembered["event_type"])
    if event_quality is not None:
        missing = dict(event_quality.select("event_type", "missing_dataset").iter_rows())
    rows = []
    for name in sorted(missing):
        mine = None
        if candidates is not None:
            mine = candidates.filter(pl.col("event_type") == name)
        known = remembered.filter(pl.col("event_type") == name)
        rows.append(_row(name, missing[name], mine, known))
    return pl.DataFrame(rows, schema=SCHEMA)


def _row(
    name: str, missing: str | None, mine: pl.DataFrame | None, known: pl.DataFrame
) -> dict[str, object]:
    tested = None if mine is None else mine.filter(pl.col("p").is_not_null())
    best = None
    if tested is not None and tested.height:
        best = tested.sort("p", "candidate_id").row(0, named=True)
    status = _status(mine, tested)
    answered = known.filter(pl.col("p").is_not_null())
    if mine is None and _status(known, answered) == "FALSIFIED":
        status = OPEN_AGAIN
    last = answered.row(-1, named=True) if answered.height else {}
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
        "asked_from": last.get("asked_from"),
        "asked_until": last.get("asked_until"),
        "ledger_head": last.get("ledger_head"),
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
