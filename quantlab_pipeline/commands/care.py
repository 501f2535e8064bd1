"""`quantlab doctor` and `quantlab specs check`: the health of the lakes, and of the documents."""

from __future__ import annotations

from functools import partial

from rich.markup import escape

from quantlab_pipeline.commands.session import Session
from quantlab_pipeline.sources.world import check_scenario
from quantlab_pipeline.storage.doctor import examine, sweep
from quantlab_pipeline.storage.project_lake import open_market_lake
from quantlab_pipeline.storage.spec_checks import disagreements, read_registries

DAMAGED = 2


def doctor_command(session: Session, *, dry_run: bool) -> int:
    """Examine every market's lake and sweep leftovers; 2 if anything is damaged."""
    damaged = False
    looked = 0
    for market in session.project.markets():
        lake = open_market_lake(session.project, market, session.data, session.clock)
        if not (session.data / "lake" / market.name).is_dir():
            continue
        looked += 1
        health = examine(lake)
        swept = sweep(lake, session.clock(), dry_run=dry_run)
        gone = len(swept.leftovers) + len(swept.unlisted) + len(swept.results)
        verb = "would go" if dry_run else "swept"
        session.say(
            f"{market.name}: {health.manifests} partitions, {health.files} files, "
            f"{health.verdicts} verdicts; {gone} leftovers {verb} ({swept.bytes / 1e6:.1f} MB), "
            f"{swept.spared} too young to touch"
        )
        for sentence in health.damage:
            damaged = True
            session.err.print(f"[red]damaged[/] {escape(sentence)}", soft_wrap=True)
    if not looked:
        session.say(f"There is no lake in {escape(str(session.data))} yet.")
    return DAMAGED if damaged else 0


def specs_command(session: Session) -> int:
    """Read every document and check them against each other; 2 if any two disagree."""
    project = session.project
    read_registries(project)
    for name in project.names("scenarios"):
        check_scenario(partial(project.scenario, name))
    mistakes = list(disagreements(project))
    for mistake in mistakes:
        session.err.print(escape(str(mistake)), soft_wrap=True)
    if mistakes:
        return DAMAGED
    counts = ", ".join(
        f"{len(project.names(kind))} {kind}" for kind in ("markets", "studies", "scenarios")
    )
    session.say(f"Every document is well: {counts}, and the registries.")
    return 0
