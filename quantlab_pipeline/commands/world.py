"""`quantlab world`: a generated market as a folder of files, and its sealed truth opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.calibration.reveal import Revealed, reveal
from quantlab_pipeline.commands.adhoc import WORLD_CARD
from quantlab_pipeline.commands.session import NothingRunError, Session, UsageError
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline.defs.market_data.opening import seal_of
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.defs.validation.assets import validation_inputs
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.sources.world import world_files
from quantlab_pipeline.storage.objects import write_atomic

CANDIDATES = "phase2_candidates"
_SHOWN_SURVIVORS = 20


def make_command(session: Session, scenario: str, out: Path, seed: int | None) -> int:
    """Write the world's files below `out` and seal its truth in the data folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder.", "Give --out a new one.", path=str(out))
    sealed: list[bytes] = []
    with session.progress(scenario) as progress:
        progress("generating", 0, 1)
        load = partial(session.project.scenario, scenario)
        files = world_files(load, seed, seal=sealed.append)
        names = files.names()
        for number, name in enumerate(names, start=1):
            write_atomic(out / name, files.read(name))
            if name.endswith(".zip"):
                progress(name.rpartition("/")[2], number, len(names))
    (truth,) = sealed
    card = {**_public(truth), "truth": digest_bytes(truth)}
    write_atomic(_seal(session, card["truth"]), truth)
    # The card is last: a folder without one is a world that was never finished.
    write_atomic(out / WORLD_CARD, (json.dumps(card, indent=1) + "\n").encode())
    session.say(f"{len(names)} files of {scenario} (seed {card['seed']}) in {escape(str(out))}")
    session.say(f"Sealed truth  {card['truth']}")
    session.say(
        f"Next          quantlab run --source binance_archive --path {escape(str(out))}, "
        "then quantlab world reveal with the market that it names"
    )
    return 0


def reveal_command(session: Session, market: str, study: str | None) -> int:
    """Open a market's truth and grade the V1 survivors of a study of it."""
    found = session.project.market(market)
    chosen = _study_on(session, found, study)
    opened = revealed(session, session.outcome(chosen))
    session.say(f"{opened.scenario}, seed {opened.seed}; sealed as {opened.seal}")
    show(session, opened)
    kept, false = opened.survivors.height, opened.false_discoveries
    session.say(f"{kept} survived V1 in {chosen.name}; {false} of them are truly null.")
    return 0


def show(session: Session, opened: Revealed) -> None:
    """What was planted and what survived, as far as there is any."""
    if opened.planted.is_empty():
        session.say("Nothing was planted: every survivor would be false.")
    else:
        session.out.print(_planted_table(opened))
    if opened.survivors.height:
        session.out.print(_survivors_table(opened))


def revealed(session: Session, outcome: StudyOutcome) -> Revealed:
    """The truth of the outcome's market, and what it says of the survivors."""
    study, market, lake = outcome.study, outcome.market, outcome.lake
    if outcome.table(CANDIDATES) is None:
        raise NothingRunError(
            f"Study {study.name} has no current candidates to hold against the truth.",
            f"Run it first: quantlab run {study.name}.",
            study=study.name,
        )
    truth = _truth(session, market)
    table = lake.graph.spec(CANDIDATES)
    run = StageRun(session.project, market, lake, table, (study.name,), session.data, session.clock)
    family = session.project.family(study.family)
    return reveal(truth, outcome.candidates, validation_inputs(run), family, run.costs)


def _planted_table(opened: Revealed) -> Table:
    table = Table(title="Planted", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for name in ("episode", "seen as", "side", "injected bps", "minutes", "horizon", "episodes"):
        table.add_column(name, justify="left" if name in {"episode", "seen as"} else "right")
    for row in opened.planted.iter_rows(named=True):
        table.add_row(
            row["kind"],
            row["event_type"],
            "up" if row["side"] > 0 else "down",
            f"{abs(row['drift_bps']):g}",
            str(row["over_min"]),
            row["horizon"] or "none",
            str(row["n_episodes"]),
        )
    return table


def _survivors_table(opened: Revealed) -> Table:
    table = Table(
        title="Survivors of V1", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("candidate", overflow="fold")
    for name in ("events", "net bps", "true net bps", "true contrast bps", "truth"):
        table.add_column(name, justify="right")
    for row in opened.survivors.head(_SHOWN_SURVIVORS).iter_rows(named=True):
        table.add_row(
            row["candidate_id"],
            str(row["n_events"]),
            f"{row['net_bps']:.1f}",
            f"{row['true_net_bps']:.1f}",
            f"{row['true_contrast_net_bps']:.1f}",
            "[red]null[/]" if row["truly_null"] else "[green]real[/]",
        )
    return table


def _study_on(session: Session, market: MarketSpec, name: str | None) -> StudySpec:
    if not market.synthetic:
        raise UsageError(
            f"{market.name} is not a generated market: nobody knows its truth.",
            "Name one that is.",
            market=market.name,
        )
    studies = [s for s in session.project.studies() if s.market == market.name]
    if name is not None:
        studies = [s for s in (session.project.study(name),) if s.market == market.name]
    if len(studies) == 1:
        return studies[0]
    raise UsageError(
        f"{market.name} has {len(studies)} studies to reveal for.",
        "Name one of its own with --study.",
        studies=[s.name for s in studies],
    )


def _truth(session: Session, market: MarketSpec) -> bytes:
    """The sealed bytes, which must have the digest that was published where one was."""
    path, published = seal_of(market, session.data), None
    if market.source.kind != "world":
        card = Path(str(market.source.path)) / WORLD_CARD
        if not card.is_file():
            raise SourceError(f"{card} is gone.", "Make the world again: quantlab world make.")
        published = json.loads(card.read_bytes())["truth"]
        path = _seal(session, published)
    if not path.is_file():
        raise SourceError(
            f"The sealed truth {path} is not there.",
            "It lies in the data folder under which the world was made: name that with --data.",
            path=str(path),
        )
    truth = path.read_bytes()
    if published is not None and digest_bytes(truth) != published:
        raise SourceError(
            f"{path} is not the truth that was sealed.", "Make the world again.", path=str(path)
        )
    return truth


def _seal(session: Session, digest: str) -> Path:
    return session.data / "sealed" / f"{digest.partition(':')[2]}.json"


def _public(truth: bytes) -> Mapping[str, Any]:
    """What anybody may know of a world before it is revealed."""
    opened = json.loads(truth)
    return {name: opened[name] for name in ("scenario", "scenario_hash", "seed")}
