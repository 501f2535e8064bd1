"""`quantlab fetch` as a person types it, from a local server in the archive's place."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from quantlab_pipeline.commands import fetch
from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.sources.archive.layout import KLINES, UM, archive_name
from quantlab_pipeline.sources.remote.part import Part
from quantlab_pipeline.storage.objects import NoSpaceError
from quantlab_pipeline_tests.cli.builders import Command
from quantlab_pipeline_tests.cli.test_bad_input import refused
from quantlab_pipeline_tests.sources.remote import server as s
from quantlab_pipeline_tests.sources.remote.builders import SYMBOL, content, files_of
from quantlab_pipeline_tests.sources.remote.server import Answer, ArchiveSite, LocalServer

DAYS = days_between(date(2024, 3, 4), date(2024, 3, 6))
NAME = archive_name(UM, KLINES, SYMBOL, DAYS[1], daily=True)
BARS = ("--datasets", "bars_1m_perp")

MARKET = """\
name: mirrored
venue: binance_usdm
synthetic: false
enabled: true
source: {kind: KIND, path: "${MIRROR}/archive"}
symbols: [BTCUSDT]
first_day: 2024-03-04
last_day: 2024-03-06
datasets: {bars_1m_perp: required, open_interest: optional}
"""
STUDY = """\
name: of_mirror
market: mirrored
symbols: [BTCUSDT]
first_day: 2024-03-04
last_day: 2024-03-06
seed: 1
"""


@pytest.fixture
def site() -> ArchiveSite:
    metrics = files_of("open_interest", days_between(DAYS[0] - timedelta(days=1), DAYS[-1]))
    return ArchiveSite({**files_of("bars_1m_perp", DAYS), **metrics})


@pytest.fixture
def server(site: ArchiveSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    with LocalServer(site) as running:
        monkeypatch.setenv("QUANTLAB_ARCHIVE_URL", running.url)
        yield running


def asked(out: Path, *more: str, first: date = DAYS[0], last: date = DAYS[-1]) -> tuple[str, ...]:
    return ("fetch", "--symbols", SYMBOL, "--from", str(first), "--to", str(last), "--out",
            str(out), *more)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Path:
    root = tmp_path / "project"
    shutil.copytree(repository / "specs", root / "specs")
    market = MARKET.replace("KIND", "binance_archive")
    (root / "specs/markets/mirrored.yaml").write_text(market, encoding="utf-8")
    (root / "specs/studies/of_mirror.yaml").write_text(STUDY, encoding="utf-8")
    return root


# --- what it does ------------------------------------------------------------------------------


def test_symbols_and_days_come_into_a_folder(quantlab: Command, server, site, tmp_path):
    said = quantlab(*asked(tmp_path / "out", *BARS))
    assert said.code == 0, said.err
    assert f"{tmp_path / 'out'}: 6 fetched" in said.out
    assert f"quantlab run --source binance_archive --path {tmp_path / 'out'}" in said.out
    assert "6/6 files" in said.err
    assert (tmp_path / "out" / NAME).read_bytes() == site.files[NAME]
    again = quantlab(*asked(tmp_path / "out", *BARS))
    assert f"{tmp_path / 'out'}: 6 there already\n" in again.out


def test_a_study_is_fetched_to_where_its_market_reads(
    quantlab: Command, server, site, project, tmp_path, monkeypatch
):
    monkeypatch.setenv("MIRROR", str(tmp_path))
    said = quantlab("fetch", "--study", "of_mirror", "--project", project)
    assert said.code == 0, said.err
    assert "10 fetched" in said.out
    assert "Next        quantlab run of_mirror" in said.out
    assert (tmp_path / "archive" / NAME).is_file()
    assert quantlab("specs", "check", "--project", project).code == 0


def test_json_is_one_object_with_the_whole_account(quantlab: Command, server, site, tmp_path):
    site.withdraw(NAME)
    said = quantlab(*asked(tmp_path / "out", *BARS, "--json"))
    told = json.loads(said.out)
    assert (told["exit_code"], told["planned"], len(told["fetched"])) == (0, 6, 5)
    (absent,) = told["absent"]
    assert (absent["kind"], absent["symbol"], absent["days"]) == (KLINES, SYMBOL, ["2024-03-05"])
    assert "404" in absent["reason"]


def test_a_missing_day_is_told_and_is_no_error(quantlab: Command, server, site, tmp_path):
    site.withdraw(NAME)
    said = quantlab(*asked(tmp_path / "out", *BARS))
    assert said.code == 0
    assert "futures/um klines BTCUSDT 2024-03-05: not in the archive (404)" in said.out


def test_a_dry_run_says_what_would_come_and_touches_nothing(quantlab: Command, server, tmp_path):
    out = tmp_path / "out"
    said = quantlab(*asked(out, *BARS, "--dry-run"))
    assert (said.code, server.requests, out.exists()) == (0, [], False)
    assert "6 files from" in said.out
    assert "0 are there, 6 to fetch" in said.out
    quantlab(*asked(out, *BARS))
    told = json.loads(quantlab(*asked(out, *BARS, "--dry-run", "--json")).out)
    assert (told["planned"], told["present"]) == (6, 6)


def test_a_replaced_file_is_told_by_name(quantlab: Command, server, site, tmp_path):
    quantlab(*asked(tmp_path, *BARS))
    site.publish(NAME, content(NAME, version=2))
    said = quantlab(*asked(tmp_path, *BARS, "--recheck"))
    assert "1 replaced by the archive" in said.out
    assert (
        f"replaced {NAME}; the old one is kept as BTCUSDT-1m-2024-03-05.zip.replaced-" in said.out
    )


def test_the_heavy_series_come_only_when_named(quantlab: Command, server, tmp_path):
    plan = json.loads(quantlab(*asked(tmp_path / "out", "--dry-run", "--json")).out)
    assert not [n for n in plan["files"] if "bookTicker" in n or "aggTrades" in n]
    trades = ("--datasets", "agg_trades_perp,tob_snapshots", "--dry-run", "--json")
    plan = json.loads(quantlab(*asked(tmp_path / "out", *trades)).out)
    assert len([n for n in plan["files"] if "aggTrades" in n]) == 3
    assert len([n for n in plan["files"] if "bookTicker" in n]) == 4


def test_an_interrupt_ends_it_at_once_and_the_next_run_goes_on(
    quantlab: Command, server, site, tmp_path
):
    site.publish(NAME, content(NAME, size=400_000))
    site.fail(NAME, s.stall(200_000))
    command = [sys.executable, "-m", "quantlab_pipeline.cli", *asked(tmp_path, *BARS)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size >= 200_000 for p in tmp_path.rglob("*.part")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asked_at = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "interrupted; run it again to go on" in err
    assert time.monotonic() - asked_at < 10
    server.requests.clear()
    assert quantlab(*asked(tmp_path, *BARS)).code == 0
    (rest,) = [r for r in server.requests if r.path == f"/{NAME}"]
    assert rest.headers["range"] == "bytes=200000-"
    assert (tmp_path / NAME).read_bytes() == site.files[NAME]


# --- what it refuses ---------------------------------------------------------------------------


def test_a_file_that_cannot_be_had_is_told_and_exits_2(quantlab: Command, server, site, tmp_path):
    site.fail(NAME, s.body(b"x"), s.body(b"x"))
    said = quantlab(*asked(tmp_path, *BARS))
    assert said.code == 2
    assert "5 fetched, 1 failed" in said.out
    assert f"{NAME} does not match its CHECKSUM file" in said.err
    assert "run it again for what failed" in said.out


def test_no_network(quantlab: Command, tmp_path):
    with LocalServer(lambda _: Answer()) as gone:
        pass
    said = quantlab(*asked(tmp_path, *BARS, "--base-url", gone.url))
    refused(said, "cannot be reached", "Check the network")


def test_the_switch_forbids_it(quantlab: Command, server, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_REMOTE_PROVIDERS", "disabled")
    refused(quantlab(*asked(tmp_path, *BARS)), "switched off", "Unset DATA_REMOTE_PROVIDERS")
    assert server.requests == []


def test_an_unknown_symbol(quantlab: Command, server, tmp_path):
    args = asked(tmp_path, *BARS)
    said = quantlab(*(a.replace(SYMBOL, "BTCUSD") for a in args))
    refused(said, "nothing of BTCUSD for 2024-03-04 .. 2024-03-06", "Check the symbol")
    said = quantlab(*(a.replace(SYMBOL, "BTC-PERP") for a in args))
    refused(said, "BTC-PERP is no symbol", "such as BTCUSDT")


def test_days_to_come(quantlab: Command, server, tmp_path):
    said = quantlab(*asked(tmp_path, first=date(2999, 1, 1), last=date(2999, 1, 2)))
    refused(said, "2999-01-01 .. 2999-01-02 is not over yet", "The last day that may be there is")
    said = quantlab(*asked(tmp_path, "--datasets", "tob_snapshots", first=date(2025, 1, 1),
                           last=date(2025, 1, 2)))  # fmt: skip
    refused(said, "no file to fetch", "bookTicker: never published for these days")
    refused(quantlab(*asked(tmp_path, first=DAYS[1], last=DAYS[0])), "is before --from", "Swap")


def test_a_full_disk(quantlab: Command, server, tmp_path, monkeypatch):
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_checksum(*_: object) -> None:
        raise NoSpaceError("No space left while writing x.", "Free some disk space.")

    with monkeypatch.context() as patched:
        patched.setattr(Part, "take", full)
        refused(quantlab(*asked(tmp_path, *BARS)), "No space left on the disk")
    with monkeypatch.context() as patched:
        patched.setattr(fetch, "write_atomic", full_checksum)
        refused(quantlab(*asked(tmp_path, *BARS)), "No space left while writing")
    assert quantlab(*asked(tmp_path, *BARS)).code == 0


def test_a_study_without_a_folder_of_the_archive(
    quantlab: Command, server, project, tmp_path, monkeypatch
):
    monkeypatch.delenv("MIRROR", raising=False)
    refused(
        quantlab("fetch", "--study", "of_mirror", "--project", project),
        "environment variable MIRROR",
        "export MIRROR=",
    )
    refused(quantlab("fetch", "--study", "smoke"), "kind world", "no folder of the archive")
    refused(quantlab("fetch", "--study", "smok"), "Did you mean `smoke`?")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ("Name a study, or symbols, days and a folder", "quantlab fetch --study STUDY")),
        (("--symbols", "BTCUSDT"), ("Name a study, or symbols",)),
        (("--symbols", ",", "--from", "2024-01-01", "--to", "2024-01-01", "--out", "x"),
         ("Name a study",)),
        (("--study", "smoke", "--out", "x"), ("Leave out --study, or",)),
    ],
)  # fmt: skip
def test_half_a_question(quantlab: Command, server, args, words):
    refused(quantlab("fetch", *args), *words)


def test_what_is_no_dataset_and_no_address(quantlab: Command, server, tmp_path):
    refused(quantlab(*asked(tmp_path, "--datasets", "bars")), "bars is nothing that can be fetched")
    said = quantlab(*asked(tmp_path, *BARS, "--base-url", "data.binance.vision"))
    refused(said, "is no web address", "https://")
