"""The backlog says what became of each question, also of those that were never reached."""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import ADMITTED, Outcome
from quantlab_pipeline.research.atlas.backlog import SCHEMA, TRIALS, build_backlog

COLUMNS = {
    "event_type": pl.String,
    "candidate_id": pl.String,
    "status": pl.String,
    "p": pl.Float64,
    "q_bh": pl.Float64,
    "net_bps": pl.Float64,
    "mde80_bps": pl.Float64,
}


def quality(*names: str, missing: str | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"event_type": names, "missing_dataset": [missing] * len(names)},
        schema={"event_type": pl.String, "missing_dataset": pl.String},
    )


def candidates(*rows: tuple[str, str, str, float | None]) -> pl.DataFrame:
    """From (event type, candidate, status, p); the other figures follow from p."""
    whole = [(*row, *[None if row[3] is None else x * row[3] for x in (2, -9, 50)]) for row in rows]
    return pl.DataFrame(whole, schema=COLUMNS, orient="row")


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ([("PASS", 0.001), ("FAIL", 0.4)], "SURVIVED"),
        ([("WAIVED", 0.3), ("FAIL", 0.4)], "SURVIVED"),
        ([("FAIL", 0.4), ("FAIL", 0.2)], "FALSIFIED"),
        ([("FAIL", 0.4), ("UNDERPOWERED", 0.5)], "UNDERPOWERED"),
        ([("NOT_EVALUABLE", None)], "NOT_EVALUABLE"),
        ([], "NOT_EVALUABLE"),
    ],
)
def test_each_status_has_its_own_next_step(
    statuses: list[tuple[str, float | None]], told: str
) -> None:
    asked = [("jump", f"c{i}", status, p) for i, (status, p) in enumerate(statuses)]
    # Another type's survivor says nothing about this one.
    row = build_backlog(quality("jump"), candidates(*asked, ("calm", "x", "PASS", 1e-6))).row(
        0, named=True
    )
    assert row["status"] == told
    assert row["next_step"] != "run the study"
    assert row["tested"] == sum(p is not None for _, p in statuses)
    assert row["passed"] == sum(status in {o.value for o in ADMITTED} for status, _ in statuses)


def test_the_best_candidate_is_the_one_of_smallest_p_then_name() -> None:
    fail = Outcome.FAIL.value
    table = candidates(("jump", "c", fail, 0.2), ("jump", "b", fail, 0.2), ("jump", "a", fail, 0.9))
    row = build_backlog(quality("jump"), table).row(0, named=True)
    assert row["best_candidate"] == "b"
    figures = (row["best_net_bps"], row["best_q"], row["mde80_bps"])
    assert figures == pytest.approx((-1.8, 0.4, 10.0))


def trials(*rows: tuple[str, str, float | None], head: str = "blake3:1") -> pl.DataFrame:
    """From (event type, status, p): what the ledger holds."""
    whole = [(*row, "2026-01-01", "2026-01-31", head, "2026-02-01T00:00") for row in rows]
    return pl.DataFrame(whole, schema=TRIALS, orient="row")


def test_what_was_falsified_names_its_days_and_the_ledger_s_head() -> None:
    told = build_backlog(
        quality("jump", "calm"),
        candidates(("jump", "c", "FAIL", 0.4)),
        trials(("jump", "FAIL", 0.4)),
    )
    calm, jump = told.iter_rows(named=True)
    assert jump["status"] == "FALSIFIED"
    assert (jump["asked_from"], jump["asked_until"]) == ("2026-01-01", "2026-01-31")
    assert jump["ledger_head"] == "blake3:1"
    assert calm["ledger_head"] is None


@pytest.mark.parametrize("known", [quality("jump"), None])
def test_what_was_falsified_on_other_data_or_by_other_code_is_open_again(
    known: pl.DataFrame | None,
) -> None:
    """Tables that are not current are None; the ledger remembers."""
    row = build_backlog(known, None, trials(("jump", "FAIL", 0.4))).row(0, named=True)
    assert (row["event_type"], row["status"]) == ("jump", "OPEN_AGAIN")
    assert "run the study" in row["next_step"]
    assert row["ledger_head"] == "blake3:1"


@pytest.mark.parametrize(
    "tried",
    [("jump", "PASS", 1e-6), ("jump", "UNDERPOWERED", 0.4), ("jump", "NOT_EVALUABLE", None)],
)
def test_what_was_not_falsified_is_not_opened_again(tried: tuple[str, str, float | None]) -> None:
    row = build_backlog(None, None, trials(tried)).row(0, named=True)
    assert row["status"] == "NOT_REACHED"


def test_a_question_that_was_not_reached_says_so() -> None:
    row = build_backlog(quality("jump", missing="tob_snapshots"), None).row(0, named=True)
    assert (row["status"], row["missing"], row["next_step"]) == (
        "NOT_REACHED",
        "tob_snapshots",
        "run the study",
    )
    assert row["best_candidate"] is None
    assert row["best_net_bps"] is None, "null and a reason, never a zero"


def test_rows_stand_by_name_and_an_empty_study_has_the_columns() -> None:
    told = build_backlog(quality("wide", "calm"), candidates())
    assert told["event_type"].to_list() == ["calm", "wide"]
    assert dict(told.schema) == SCHEMA
    assert dict(build_backlog(None, None).schema) == SCHEMA
