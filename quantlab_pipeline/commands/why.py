"""`quantlab why`: a candidate, another gate's item, or an artifact, explained from the lake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.commands.session import (
    COLOURS,
    NothingRunError,
    Session,
    UsageError,
    short_path,
)
from quantlab_pipeline.core.fingerprints import short
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict
from quantlab_pipeline.defs.reports.candidate_pages import page_path
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.pit import PAGE, verdicts_page
from quantlab_pipeline.defs.reports.strategy_pages import sheet_path
from quantlab_pipeline.reports.board_data import candidate_rows
from quantlab_pipeline.reports.candidate_data import AT_MOST
from quantlab_pipeline.reports.candidate_story import (
    Row,
    fading,
    in_short,
    naive_against_ours,
    nearly_the_same,
    needed_z,
    question_of,
    what_it_needs,
    what_to_know,
)
from quantlab_pipeline.reports.pit_why import feature_story
from quantlab_pipeline.reports.strategy_story import in_short as executed_in_short
from quantlab_pipeline.storage.spec_errors import nearest

_FIGURES = (
    "n_events", "active_days", "n_eff", "gross_bps", "cost_bps", "net_bps", "se_bps", "mde80_bps",
    "z_raw", "z_contrast", "z_naive", "p", "q_bh", "q_by", "stability", "worst_slice",
    "capacity_usd",
    "heterogeneity_p", "strongest_slice", "strongest_bps", "weakest_slice", "weakest_bps",
)  # fmt: skip
_EVERYTHING = ("run_manifest.json", "gate_verdicts.json", "gate_board.html", "research_backlog.csv")
_MADE_FROM = {
    "candidates.html": "candidate_studies",
    "strategies.html": "bridge_results",
    "events.html": "event_quality",
    "features.html": "features_pt",
    "walkforward_summary.json": "walkforward",
    "portfolio_report.json": "portfolio",
}
_SHOWN_MATCHES = 5
_CEILINGS = (Gate.D0, Gate.PIT1)


def why_command(session: Session, what: str | None, study: str | None) -> int:
    """Explain `what` on `study` (default: the best reject, on the study that ran last)."""
    outcome = session.outcome(session.study(study))
    artifacts = session.artifacts(outcome.study)
    if what is not None and (artifacts / what).is_file():
        explain_artifact(session, outcome, what)
        return 0
    if not any(outcome.verdicts.values()):
        raise NothingRunError(
            f"Nothing of study {outcome.study.name} is current: code, specs or data changed.",
            f"Run it again: quantlab run {outcome.study.name}.",
        )
    name = _best_reject(outcome) if what is None else _resolve(outcome, what)
    row = next(outcome.candidates.filter(candidate_id=name).iter_rows(named=True), None)
    if row is not None:
        explain_candidate(session, outcome, row)
    for gate, verdict in _verdicts_on(outcome, name):
        if gate is Gate.PIT1:
            explain_feature(session, outcome, name)
        session.out.print(_verdict_table(gate, verdict))
    if row is not None:
        _needs(session, outcome, row)
        explain_strategy(session, outcome, name)
        for told, path in (("Its page", page_path(name)), ("Its sheet", sheet_path(name))):
            page = session.artifacts(outcome.study) / path
            if page.is_file():
                session.say(f"[dim]{told:9} {escape(short_path(page))}[/]")
    return 0


def explain_candidate(session: Session, outcome: StudyOutcome, row: Row) -> None:
    """What was asked, every figure, and the naive answer beside ours."""
    z_needed = _z_needed(outcome, row)
    session.say(f"[bold]{escape(row['candidate_id'])}[/]  (study {outcome.study.name})")
    session.say(escape(question_of(row)))
    figures = Table(show_header=False, box=None, padding=(0, 2))
    pairs = [(name, _number(row[name])) for name in _FIGURES]
    for left, right in zip(pairs[::2], [*pairs[1::2], ("", "")], strict=False):
        figures.add_row(left[0], left[1], right[0], right[1])
    session.out.print(figures)
    session.say(escape(naive_against_ours(row, z_needed)))
    if later := fading(row):
        session.out.print(_fading_table(row, later))
    for told in in_short(row, _study(outcome, row)):
        session.say(escape(told))
    if (same := nearly_the_same(row)) is not None:
        session.say(f"[yellow]{escape(same)}[/]")
    if outcome.refused:
        session.say(f"[yellow]The trial ledger took no candidate. {escape(outcome.refused)}[/]")
    for known in what_to_know(row, outcome.project.gates().v1_flags):
        session.say(f"[yellow]{escape(known)}[/]")


def explain_strategy(session: Session, outcome: StudyOutcome, name: str) -> None:
    """What execution left of a candidate, once it was executed: costs, worst way, capacity."""
    if name not in outcome.executed:
        return
    rows = outcome.table("bridge_results")
    assert rows is not None
    known = "bridge_executions" in outcome.lake.graph.tables
    ways = outcome.table("bridge_executions") if known else None
    mine = () if ways is None else tuple(ways.filter(strategy_id=name).iter_rows(named=True))
    row = rows.filter(strategy_id=name).row(0, named=True)
    for told in executed_in_short(row, mine, outcome.project.gates().b.min_capacity_usd):
        session.say(escape(told))


def _study(outcome: StudyOutcome, row: Row) -> Row | None:
    """What explains the candidate in full, if it is followed."""
    studies = outcome.table("candidate_studies")
    if studies is None:
        return None
    mine = studies.filter(candidate_id=row["candidate_id"])
    return next(mine.iter_rows(named=True), None)


def _fading_table(row: Row, later: Sequence[tuple[int, float, float]]) -> Table:
    """How the effect fades as the same events are entered later; left is the share of lag 0's."""
    first = later[0][1]
    table = Table(
        title=f"Entered later ({row['lag_n_events']} events that every delay holds)",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    for column in ("minutes late", "gross bps", "se bps", "left"):
        table.add_column(column, justify="right")
    for minutes, mean, se in later:
        left = f"{mean / first:.0%}" if first > 0 else "-"
        table.add_row(str(minutes), _number(mean), _number(se), left)
    return table


def explain_feature(session: Session, outcome: StudyOutcome, name: str) -> None:
    """What PIT-1's attacks did to a feature: each leak's row, input and reach, what to do."""
    page = verdicts_page(outcome)
    line = next((f for f in page.features if f.feature == name), None) if page else None
    if page is None or line is None:
        return
    leaks = [told for told in page.leaks if told.leak.feature == name]
    for text in feature_story(line, leaks, len(page.days)):
        session.say(escape(text))
    artifact = session.artifacts(outcome.study) / PAGE
    if line in page.red and artifact.is_file():
        session.say(f"[dim]Drawn in {escape(short_path(artifact))}[/]")


def explain_artifact(session: Session, outcome: StudyOutcome, name: str) -> None:
    """What an artifact was made from: fingerprints, code, verdicts, taints."""
    folder = session.artifacts(outcome.study)
    manifest = json.loads((folder / "run_manifest.json").read_bytes())
    stem = name.rpartition(".")[0]
    chosen = list(manifest["tables"]) if name in _EVERYTHING else [_MADE_FROM.get(name, stem)]
    title = f"{name} of study {outcome.study.name}"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in ("table", "partitions", "fingerprint", "code", "tainted by"):
        table.add_column(column, overflow="fold")
    for each in chosen:
        entry = manifest["tables"].get(each)
        if entry is not None:
            table.add_row(each, *_lineage(outcome, each, entry))
    session.out.print(table)
    for gate, digests in manifest["verdicts"].items():
        shown = ", ".join(short(d) for d in list(digests.values())[:3])
        more = f" and {len(digests) - 3} more" if len(digests) > 3 else ""
        session.say(f"verdicts of {gate}: {shown or 'none'}{more}")
    ledger, observed = manifest["ledger"], manifest["observed"]
    session.say(
        f"trials {ledger['trials']:,} of {ledger['budget']:,}, ledger head {ledger['head'][:19]}"
    )
    session.say(f"run {observed['run_id']}, written {observed['written_at']}")


def _lineage(outcome: StudyOutcome, table: str, entry: dict[str, Any]) -> tuple[str, ...]:
    partitions: dict[str, str] = entry["partitions"]
    taints: set[str] = set()
    changed = 0
    for key, fingerprint in partitions.items():
        manifest = outcome.lake.manifests.current(table, key)
        taints |= set(manifest.tainted_by if manifest is not None else ())
        changed += manifest is None or manifest.fingerprint != fingerprint
    first = short(next(iter(partitions.values())))
    shown = first if len(partitions) == 1 else f"{first} and {len(partitions) - 1} more"
    stale = f" ({changed} changed since)" if changed else ""
    named = ", ".join(sorted(taints)) or "nothing"
    return str(len(partitions)), shown + stale, short(entry["code"]), named


def _best_reject(outcome: StudyOutcome) -> str:
    rejects = candidate_rows(outcome.candidates, survivors=False, limit=1)
    if rejects:
        return str(rejects[0]["candidate_id"])
    raise NothingRunError(
        f"Study {outcome.study.name} tested no candidate that was rejected.",
        f"See where its chain stopped: quantlab gates {outcome.study.name}.",
    )


def _resolve(outcome: StudyOutcome, what: str) -> str:
    """The item that `what` names or alone begins. UsageError with the nearest names otherwise."""
    items = [v.item for verdicts in outcome.verdicts.values() for v in verdicts]
    names: list[str] = list(dict.fromkeys([*outcome.candidates["candidate_id"], *items]))
    if what in names:
        return what
    starts = [n for n in names if n.startswith(what)]
    if len(starts) == 1:
        return starts[0]
    if starts:
        shown = ", ".join(starts[:_SHOWN_MATCHES])
        raise UsageError(
            f"{len(starts)} names begin with {what}.", f"Say more of one: {shown}.", name=what
        )
    like = nearest(what, names)
    hint = f"Did you mean {like}?" if like else "Without a name, `quantlab why` shows the best one."
    raise UsageError(f"Study {outcome.study.name} has nothing named {what}.", hint, name=what)


def _verdicts_on(outcome: StudyOutcome, name: str) -> Sequence[tuple[Gate, ItemVerdict]]:
    return [(g, v) for g, found in outcome.verdicts.items() for v in found if v.item == name]


def _verdict_table(gate: Gate, verdict: ItemVerdict) -> Table:
    colour = COLOURS[verdict.outcome]
    reasons = f"  {', '.join(verdict.reasons)}" if verdict.reasons else ""
    table = Table(
        title=f"{gate.value} [{colour}]{verdict.outcome.value}[/]{escape(reasons)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    table.add_column("threshold")
    table.add_column("needs", justify="right")
    table.add_column("measured", justify="right")
    for name, (value, limit) in verdict.measured.items():
        least = gate not in _CEILINGS and not name.startswith("max_") and name not in AT_MOST
        needs = "" if limit is None else f"{'>=' if least else '<='} {_number(limit)}"
        table.add_row(name, needs, _number(value))
    return table


def _needs(session: Session, outcome: StudyOutcome, row: Row) -> None:
    limits = outcome.project.gates().v1
    verdict = next((v for v in outcome.items_of(Gate.V1) if v.item == row["candidate_id"]), None)
    codes = None if verdict is None else verdict.reasons
    needs = what_it_needs(row, limits, _z_needed(outcome, row), codes)
    if needs:
        session.say("To pass V1 it would have to be true that:")
        for need in needs:
            session.say(f"  - {escape(need)}")
    else:
        session.say("It passed V1.")


def _z_needed(outcome: StudyOutcome, row: Row) -> float:
    """What the row needs beside the significant ones, itself not counted."""
    q = outcome.project.gates().v1.q
    others = outcome.candidates.filter(pl.col("candidate_id") != row["candidate_id"])
    return needed_z(q, int(row["m_budget"]), others.filter(pl.col("q_bh") <= q).height)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return str(value)
