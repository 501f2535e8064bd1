"""The `quantlab` command: arguments in, an exit code out. What a command does stands in `commands`.

Belongs here: options and help. Nothing heavy is imported before a command runs, so that `--help` is
quick. The border where an error becomes one message and a code is `cli_border`.

Exit codes: 0 every gate passed; 3 a gate is neither PASS nor WAIVED; 2 bad usage, spec or data;
1 a bug; 130 interrupted.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab_pipeline.cli_border import Border

if TYPE_CHECKING:
    from quantlab_pipeline.commands.adhoc import Folder
    from quantlab_pipeline.commands.session import Session


class Kind(StrEnum):
    """Layouts of a person's own folder."""

    FREQTRADE = "freqtrade"
    BINANCE_ARCHIVE = "binance_archive"
    LEAN = "lean"
    CAPTURE = "capture"


Data = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="QUANTLAB_DATA", help="Where results live. Default: the project's data/."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
ProjectRoot = Annotated[
    Path | None,
    typer.Option("--project", help="Folder that holds specs/. Default: the working directory."),
]
Study = Annotated[str | None, typer.Option("--study", help="Default: the study that ran last.")]
_DATASETS = (
    "Tables, or agg_trades_perp, agg_trades_spot. Default: the study's, else all small ones."
)
_FIRST = "First day, YYYY-MM-DD. Default: the first that all symbols have."
_LAST = "Last day, included. Default: the last that all symbols have."
_FIRST_OF_MARKET = "First day, YYYY-MM-DD. Default: the market's first."
_LAST_OF_MARKET = "Last day, included. Default: the last that the market or its source has."
_FIRST_OF_STUDY = "First day, YYYY-MM-DD. Default: the study's first."
_LAST_OF_STUDY = "Last day, included. Default: the study's last."


def _day(flag: str, words: str) -> Any:
    """An option that takes a day."""
    return typer.Option(flag, metavar="DAY", formats=["%Y-%m-%d"], help=words)


app = typer.Typer(
    name="quantlab",
    cls=Border,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Raw market data in; a few robust strategies out; everything else refused, with reasons.",
    epilog="Exit codes: 0 every gate passed, 3 a gate did not, 2 bad usage, spec or data, 1 a bug.",
)
world = typer.Typer(no_args_is_help=True, help="Generated markets, whose truth is known.")
specs = typer.Typer(no_args_is_help=True, help="The documents under specs/.")
app.add_typer(world, name="world")
app.add_typer(specs, name="specs")


@app.command()
def run(
    study: Annotated[str | None, typer.Argument(help="A document under specs/studies.")] = None,
    source: Annotated[Kind | None, typer.Option(help="Layout of your own folder.")] = None,
    path: Annotated[Path | None, typer.Option(help="Your own folder.")] = None,
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="Default: all that the folder has.")
    ] = None,
    first: Annotated[datetime | None, _day("--from", _FIRST)] = None,
    last: Annotated[datetime | None, _day("--to", _LAST)] = None,
    waive: Annotated[
        list[str] | None, typer.Option(metavar="GATE", help="Go on past a gate; taints all after.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the gates are waived; recorded.")] = "",
    json: AsJson = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Run a study, or your own folder, through all seven gates and print what each says."""
    from quantlab_pipeline.commands.run import RunRequest, run_command

    folder = _folder(source, path, symbols, first, last)
    request = RunRequest(study, folder, tuple(waive or ()), reason, json)
    return run_command(_session(project, data), request)


@app.command()
def fetch(
    study: Annotated[
        str | None, typer.Option(help="Fetch what this study needs, where its market reads it.")
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="As the venue names them.")
    ] = None,
    first: Annotated[datetime | None, _day("--from", "YYYY-MM-DD, UTC.")] = None,
    last: Annotated[datetime | None, _day("--to", "Included.")] = None,
    datasets: Annotated[str | None, typer.Option(metavar="A,B", help=_DATASETS)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to fetch into.")] = None,
    base_url: Annotated[
        str, typer.Option(envvar="QUANTLAB_ARCHIVE_URL", help="The archive, or a mirror of it.")
    ] = "https://data.binance.vision",
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Ask whether files that are there were replaced.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Files at once.")] = 6,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come.")] = False,
    json: AsJson = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Fetch files of the official Binance archive, verified; run it again to go on or update."""
    from quantlab_pipeline.commands.fetch import FetchOptions, fetch_command
    from quantlab_pipeline.sources.remote.fetch import FetchRequest

    days = (first and first.date(), last and last.date())
    request = FetchRequest(base_url, workers, recheck)
    options = FetchOptions(
        study, _names(symbols), *days, _names(datasets), out, request, dry_run, json
    )
    return fetch_command(_session(project, data), options)


@app.command()
def qa(
    market: Annotated[str | None, typer.Argument(help="A document under specs/markets.")] = None,
    source: Annotated[Kind | None, typer.Option(help="Layout of your own folder.")] = None,
    path: Annotated[Path | None, typer.Option(help="Your own folder.")] = None,
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="Default: all that the market has.")
    ] = None,
    first: Annotated[datetime | None, _day("--from", _FIRST_OF_MARKET)] = None,
    last: Annotated[datetime | None, _day("--to", _LAST_OF_MARKET)] = None,
    json: AsJson = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Examine a market's data, or your own folder's, and say where what is wrong.

    Exit code 0: D0 admits every symbol on every day; 3: it does not.
    """
    from quantlab_pipeline.commands.qa import QaRequest, qa_command

    folder = _folder(source, path, symbols, first, last)
    return qa_command(_session(project, data), QaRequest(market, folder, json))


@app.command()
def attack(
    study: Annotated[str, typer.Argument(help="A study whose features were built.")],
    full: Annotated[
        bool, typer.Option("--full", help="Many more instants of every day; takes longer.")
    ] = False,
    first: Annotated[datetime | None, _day("--from", _FIRST_OF_STUDY)] = None,
    last: Annotated[datetime | None, _day("--to", _LAST_OF_STUDY)] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="This one and what it is made of; may be repeated."),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="Default: all that the study has.")
    ] = None,
    json: AsJson = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Attack a study's features as gate PIT-1 does, and say who knows the future, and through what.

    It records no verdict: the gate in the chain does. Exit code 0: nothing is red; 3: something is.
    """
    from quantlab_pipeline.commands.attack import AttackRequest, attack_command

    days = (first and first.date(), last and last.date())
    names = _names(",".join(feature or ())) or None
    request = AttackRequest(study, *days, names, _names(symbols), full, json)
    return attack_command(_session(project, data), request)


@app.command()
def gates(
    study: Annotated[str, typer.Argument(help="A study that was run.")],
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Print a study's gate table again, as the lake now stands."""
    from quantlab_pipeline.commands.run import gates_command

    return gates_command(_session(project, data), study)


@app.command()
def why(
    what: Annotated[
        str | None, typer.Argument(help="A candidate, another gate's item, or an artifact's name.")
    ] = None,
    study: Study = None,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Why a candidate stands or fell, every threshold beside its value. Default: best reject."""
    from quantlab_pipeline.commands.why import why_command

    return why_command(_session(project, data), what, study)


@app.command()
def demo(data: Data = None, project: ProjectRoot = None) -> int:
    """Two generated markets through every gate, their sealed truth, and a leak that is caught."""
    from quantlab_pipeline.commands.demo import demo_command

    return demo_command(_session(project, data))


@app.command()
def zoo(seed: int = 1, json: AsJson = False, project: ProjectRoot = None) -> int:
    """Fifty leaks as people write them, each with an honest twin, before gate PIT-1."""
    from quantlab_pipeline.commands.zoo import zoo_command

    return zoo_command(_session(project, None), seed, as_json=json)


@app.command()
def calibrate(
    quick: Annotated[
        bool, typer.Option("--quick", help="A dozen markets: minutes, and wider bands.")
    ] = False,
    worlds: Annotated[
        int | None, typer.Option(min=2, help="Markets to plant in. Default: as gates.yaml says.")
    ] = None,
    nonce: Annotated[
        str | None, typer.Option(metavar="HEX", help="Repeat a run. Default: a fresh one.")
    ] = None,
    placebo: Annotated[
        str | None, typer.Option(metavar="STUDY", help="Instead: your own data, events moved.")
    ] = None,
    json: AsJson = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Try gate V1 on fresh markets whose truth is sealed, and write the certificate.

    Exit code 0: every band holds and every broken rule is refused; 3: not so. With --placebo, V1's
    passes on a study that was run are held against those of its events moved to other days.
    """
    if placebo is not None:
        from quantlab_pipeline.commands.placebo import placebo_command

        alone = not quick and worlds is None and nonce is None
        return placebo_command(_session(project, data), placebo, alone=alone, as_json=json)
    from quantlab_pipeline.commands.calibrate import CalibrateRequest, calibrate_command

    request = CalibrateRequest(quick, worlds, nonce, json)
    return calibrate_command(_session(project, data), request)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """The Dagster UI on 127.0.0.1, with its home and the studies set up. Ctrl-C stops it."""
    from quantlab_pipeline.commands.ui import ui_command

    return ui_command(_session(project, data), port)


@app.command()
def record(
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Such as BTCUSDT,ETHUSDT.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, one an hour and symbol.")],
    market: Annotated[str, typer.Option(metavar="A,B", help="usdm, spot or both.")] = "usdm,spot",
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long. Default: when told to.")
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(metavar="MARKET=URL", help="Another address of a market's streams."),
    ] = None,
) -> int:
    """Record quotes, marks and trades live, as they come, until Ctrl-C or SIGTERM."""
    from quantlab_pipeline.commands.record import Recording, record_command

    names, markets = (tuple(x for x in text.split(",") if x) for text in (symbols, market))
    return record_command(
        Recording(names, out, markets, seconds, tuple(base_url or ())), time.time_ns
    )


@app.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Look for damage in every lake, and sweep what killed writes left behind."""
    from quantlab_pipeline.commands.care import doctor_command

    return doctor_command(_session(project, data), dry_run=dry_run)


@specs.command("check")
def specs_check(data: Data = None, project: ProjectRoot = None) -> int:
    """Read every document and what they must agree on; each mistake with its file and line."""
    from quantlab_pipeline.commands.care import specs_command

    return specs_command(_session(project, data))


@world.command("make")
def world_make(
    scenario: Annotated[str, typer.Argument(help="A document under specs/scenarios.")],
    out: Annotated[Path, typer.Option(help="An empty or new folder for the files.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the scenario's own.")] = None,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Write a generated market as files of the official archive; its truth is sealed apart."""
    from quantlab_pipeline.commands.world import make_command

    return make_command(_session(project, data), scenario, out, seed)


@world.command("reveal")
def world_reveal(
    market: Annotated[str, typer.Argument(help="A generated market that a study was run on.")],
    study: Study = None,
    data: Data = None,
    project: ProjectRoot = None,
) -> int:
    """Open a generated market's sealed truth: what was planted, and which survivors are real."""
    from quantlab_pipeline.commands.world import reveal_command

    return reveal_command(_session(project, data), market, study)


def _names(text: str | None) -> tuple[str, ...] | None:
    """A list with commas; None where nothing was said."""
    return None if text is None else tuple(n for n in text.replace(" ", "").split(",") if n)


def _folder(
    source: Kind | None,
    path: Path | None,
    symbols: str | None,
    first: datetime | None,
    last: datetime | None,
) -> Folder:
    from quantlab_pipeline.commands.adhoc import Folder

    days = (first and first.date(), last and last.date())
    return Folder(source and source.value, path, _names(symbols), *days)


def _session(project: Path | None, data: Path | None) -> Session:
    from quantlab_pipeline.commands.session import open_session

    return open_session(project, data, lambda: datetime.now(tz=UTC))


def main() -> None:
    """The entry point."""
    app(prog_name="quantlab")


if __name__ == "__main__":
    main()
