"""Fetching from an archive that misbehaves into a folder that must never hold half a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import HOURLY, KLINES, UM, archive_file, archive_name
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import DiskTree
from quantlab_pipeline.sources.remote.fetch import NOT_THERE, Tick, UnknownSymbolError
from quantlab_pipeline.sources.remote.http import BannedError, HttpSettings, RemoteError
from quantlab_pipeline.sources.remote.journal import read_journal
from quantlab_pipeline.sources.remote.mirror import JOURNAL, file_sha256, stated_sha256
from quantlab_pipeline.storage.objects import write_atomic
from quantlab_pipeline.storage.raw_store import FileRawSink
from quantlab_pipeline_tests.sources.builders import MemorySink
from quantlab_pipeline_tests.sources.remote import server as s
from quantlab_pipeline_tests.sources.remote.builders import (
    NOW,
    SYMBOL,
    content,
    fetching,
    files_of,
    mirror_at,
)
from quantlab_pipeline_tests.sources.remote.server import Answer, ArchiveSite, LocalServer

FIRST, LAST = date(2024, 7, 1), date(2024, 7, 3)
DAYS = days_between(FIRST, LAST)
NAME = archive_name(UM, KLINES, SYMBOL, DAYS[1], daily=True)


@pytest.fixture
def site():
    return ArchiveSite(files_of("bars_1m_perp", DAYS))


@pytest.fixture
def server(site):
    with LocalServer(site) as running:
        yield running


def whole_files(root: Path) -> dict[str, bytes]:
    """Every file that the archive source would read, each of which must have its checksum."""
    found = {}
    for name in DiskTree(root).names():
        if archive_file(name) is not None:
            data = (root / name).read_bytes()
            codec.verify_checksum(name, data, (root / f"{name}.CHECKSUM").read_bytes())
            found[name] = data
    return found


def published(site: ArchiveSite) -> dict[str, bytes]:
    return {n: d for n, d in site.files.items() if n.endswith(".zip")}


def names(entries) -> list[str]:
    return [e.name for e in entries]


# --- what a fetch leaves -----------------------------------------------------------------------


def test_a_mirror_is_what_the_archive_source_reads(site, server, tmp_path):
    done = fetching(server.url, tmp_path, DAYS)
    assert whole_files(tmp_path) == published(site)
    assert names(done.fetched) == sorted(published(site))
    assert done.received == sum(map(len, published(site).values()))
    assert (done.present, done.failed, done.absent, done.replaced) == ((), (), (), ())
    source = BinanceArchive(DiskTree(tmp_path))
    assert source.days("bars_1m_perp", SYMBOL) == (FIRST, LAST)
    assert len(source.land("bars_1m_perp", SYMBOL, DAYS, MemorySink())) >= len(DAYS)


def test_what_is_there_is_not_asked_for_again(site, server, tmp_path):
    fetching(server.url, tmp_path, DAYS)
    server.requests.clear()
    done = fetching(server.url, tmp_path, DAYS)
    assert server.requests == []
    assert (set(done.present), done.received) == (set(published(site)), 0)


def test_the_journal_says_what_each_file_is_and_where_it_is_from(site, server, tmp_path):
    fetching(server.url, tmp_path, DAYS)
    entries = {e.name: e for e in read_journal(tmp_path / JOURNAL)}
    assert set(entries) == set(published(site))
    entry = entries[NAME]
    assert entry.sha256 == file_sha256(tmp_path / NAME)
    assert (entry.url, entry.size) == (f"{server.url}/{NAME}", len(site.files[NAME]))
    assert entry.etag.startswith('"')
    assert entry.last_modified == "Tue, 05 Mar 2024 06:00:00 GMT"
    assert (entry.event, entry.at) == ("fetched", NOW.isoformat())


def test_files_that_someone_else_put_there_are_verified_and_kept(site, server, tmp_path):
    for name in (NAME, f"{NAME}.CHECKSUM"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(site.files[name])
    done = fetching(server.url, tmp_path, DAYS)
    assert done.present == (NAME,)
    assert server.asked(NAME) == []
    assert [e.event for e in read_journal(tmp_path / JOURNAL) if e.name == NAME] == ["found"]


# --- servers that misbehave --------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        s.cut(700),
        s.reset(700),
        s.stall(700),
        s.status(429),
        s.status(429, retry_after="3"),
        s.status(503),
        s.slow(0.01, 500),
    ],
    ids=["cut", "reset", "stall", "429", "429-after", "503", "slow"],
)
def test_a_server_that_fails_once_changes_nothing(site, server, tmp_path, fault):
    site.fail(NAME, fault)
    site.fail(f"{NAME}.CHECKSUM", fault)
    settings = HttpSettings(read_timeout_s=0.3)
    done = fetching(server.url, tmp_path, DAYS, settings=settings)
    assert whole_files(tmp_path) == published(site)
    assert done.failed == ()


def test_a_redirect_is_followed(site, tmp_path):
    def moved(request):
        if request.path.startswith("/new/"):
            return site(replace(request, path=request.path.removeprefix("/new")))
        return Answer(302, {"Location": f"/new{request.path}"})

    with LocalServer(moved) as server:
        fetching(server.url, tmp_path, DAYS)
    assert whole_files(tmp_path) == published(site)


def test_a_missing_day_is_reported_and_the_others_come(site, server, tmp_path):
    site.withdraw(NAME)
    done = fetching(server.url, tmp_path, DAYS)
    (absent,) = done.absent
    assert (absent.kind, absent.days, absent.reason) == (KLINES, (DAYS[1],), NOT_THERE)
    assert whole_files(tmp_path) == published(site)
    fetching(server.url, tmp_path, DAYS)
    assert [e.name for e in read_journal(tmp_path / JOURNAL) if e.event == "absent"] == [NAME]
    site.publish(NAME, b"late")
    assert names(fetching(server.url, tmp_path, DAYS).fetched) == [NAME]


def test_bytes_of_another_checksum_are_fetched_twice_and_then_refused(site, server, tmp_path):
    site.fail(NAME, s.body(b"damaged"))
    assert fetching(server.url, tmp_path / "once", DAYS).failed == ()
    site.fail(NAME, s.body(b"damaged"), s.body(b"damaged"))
    done = fetching(server.url, tmp_path / "twice", DAYS)
    (failure,) = done.failed
    assert failure.name == NAME
    assert "does not match its CHECKSUM" in failure.problem
    assert not (tmp_path / "twice" / NAME).exists()
    assert len(whole_files(tmp_path / "twice")) == len(published(site)) - 1
    assert not list((tmp_path / "twice").rglob("*.part"))


@pytest.mark.parametrize(
    "checksum", [b"<html>log in</html>", b"", b"0" * 64 + b"  other.zip\n", b"\xff" * 90]
)
def test_what_is_no_checksum_file_is_a_failure(site, server, tmp_path, checksum):
    site.files[f"{NAME}.CHECKSUM"] = checksum
    (failure,) = fetching(server.url, tmp_path, DAYS).failed
    assert "is not the CHECKSUM file of its zip" in failure.problem
    assert server.asked(NAME) == [f"/{NAME}.CHECKSUM"]


def test_a_file_that_may_not_be_read_is_a_failure_and_many_end_the_fetch(site, server, tmp_path):
    site.fail(NAME, s.status(403))
    (failure,) = fetching(server.url, tmp_path / "one", DAYS).failed
    assert "was refused (403)" in failure.problem
    site.always.append(s.status(403))
    with pytest.raises(RemoteError, match=r"5 files could not be fetched, .* refused \(403\)"):
        fetching(server.url, tmp_path / "all", DAYS)


def test_a_ban_ends_the_fetch_at_once(site, server, tmp_path):
    site.always.append(s.status(418, retry_after="600"))
    with pytest.raises(BannedError):
        fetching(server.url, tmp_path, DAYS, workers=1)
    assert len(server.requests) == 1


def test_no_network_ends_the_fetch(tmp_path):
    with LocalServer(lambda _: Answer()) as gone:
        pass
    with pytest.raises(RemoteError, match="cannot be reached"):
        fetching(gone.url, tmp_path, DAYS)


def test_an_unknown_symbol_is_told_before_anything_else_is_asked(site, server, tmp_path):
    with pytest.raises(UnknownSymbolError, match=r"nothing of BTCUSD for 2024-07-01 \.\. 2024-07"):
        fetching(server.url, tmp_path, DAYS, ["bars_1m_perp", "open_interest"], [SYMBOL, "BTCUSD"])
    assert server.asked("metrics") == []
    with pytest.raises(UnknownSymbolError):
        fetching(server.url, tmp_path, DAYS, ["open_interest"], ["BTCUSD"])


def test_no_more_files_than_workers_are_asked_for_at_once(site, server, tmp_path):
    site.always.append(s.slow(0.01))
    fetching(server.url, tmp_path, DAYS, workers=3)
    assert 2 <= server.most_at_once <= 3


# --- months ------------------------------------------------------------------------------------

JUNE = days_between(date(2024, 6, 1), date(2024, 6, 30))


def test_a_month_is_one_file_of_each_series(tmp_path):
    site = ArchiveSite(files_of("bars_1m_perp", JUNE, daily=False))
    with LocalServer(site) as server:
        fetching(server.url, tmp_path, JUNE)
        assert len(server.requests) == 4
    assert whole_files(tmp_path) == published(site)


def test_a_month_that_is_not_published_yet_comes_by_day(tmp_path):
    site = ArchiveSite(files_of("bars_1m_perp", JUNE))
    site.withdraw(archive_name(UM, KLINES, SYMBOL, JUNE[-1], daily=True))
    with LocalServer(site) as server:
        ticks: list[Tick] = []
        done = fetching(server.url, tmp_path, JUNE, progress=ticks.append)
        assert len(server.asked(".zip")) == 2 + 2 * 59 + 1
    assert whole_files(tmp_path) == published(site)
    assert [(a.kind, a.days) for a in done.absent] == [(KLINES, (JUNE[-1],))]
    assert (ticks[-1].files, ticks[-1].of_files) == (60, 60)


def test_a_month_without_any_day_costs_three_questions_more(tmp_path):
    site = ArchiveSite(files_of("bars_1m_perp", JUNE, daily=False))
    site.withdraw(archive_name(UM, HOURLY, SYMBOL, JUNE[0], daily=False))
    with LocalServer(site) as server:
        done = fetching(server.url, tmp_path, JUNE)
        assert len(server.asked("/1h/")) == 4
    assert [(a.kind, a.days) for a in done.absent] == [(HOURLY, tuple(JUNE))]


# --- files that change -------------------------------------------------------------------------


def test_a_file_replaced_later_is_noticed_on_request_and_the_old_one_kept(site, server, tmp_path):
    fetching(server.url, tmp_path, DAYS)
    old = site.files[NAME]
    site.publish(NAME, content(NAME, version=2))
    assert fetching(server.url, tmp_path, DAYS).replaced == ()
    assert (tmp_path / NAME).read_bytes() == old
    server.requests.clear()
    done = fetching(server.url, tmp_path, DAYS, recheck=True)
    assert len(server.asked(".zip")) == len(published(site)) + 1
    (entry,) = done.replaced
    assert (entry.name, entry.was) == (
        NAME,
        stated_sha256(NAME, codec.make_checksum(NAME.rpartition("/")[2], old)),
    )
    assert (tmp_path / entry.kept_as).read_bytes() == old
    assert whole_files(tmp_path) == published(site)
    assert fetching(server.url, tmp_path, DAYS, recheck=True).replaced == ()
    assert list(read_journal(tmp_path / JOURNAL))[-1] == entry


def minutes(source: BinanceArchive, sink: FileRawSink):
    """The landed files of the day's minute bars, without the hourly totals beside them."""
    return [f for f in source.land("bars_1m_perp", SYMBOL, [DAYS[1]], sink) if "/1m/" in f.name]


def test_a_correction_reaches_the_raw_store_as_a_later_version(site, server, tmp_path):
    sink = FileRawSink(tmp_path / "lake", lambda: NOW)
    mirror = tmp_path / "mirror"
    fetching(server.url, mirror, DAYS)
    (first,) = minutes(BinanceArchive(DiskTree(mirror)), sink)
    site.publish(NAME, content(NAME, version=2))
    fetching(server.url, mirror, DAYS, recheck=True)
    (later,) = minutes(BinanceArchive(DiskTree(mirror)), sink)
    assert (first.name, first.arrived_at, later.name, later.arrived_at) == (NAME, None, NAME, NOW)
    assert (sink.read(first), sink.read(later)) == (content(NAME), content(NAME, version=2))


def test_a_file_that_the_archive_withdrew_stays(site, server, tmp_path):
    fetching(server.url, tmp_path, DAYS)
    kept = published(site)
    site.withdraw(NAME)
    done = fetching(server.url, tmp_path, DAYS, recheck=True)
    assert (len(done.present), done.absent) == (len(kept), ())
    assert whole_files(tmp_path) == kept


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_damage_on_disk_is_fetched_again_and_is_no_replacement(site, server, tmp_path, damage):
    fetching(server.url, tmp_path, DAYS)
    if damage is None:
        (tmp_path / f"{NAME}.CHECKSUM").unlink()
    else:
        (tmp_path / NAME).write_bytes(damage)
    done = fetching(server.url, tmp_path, DAYS)
    assert (names(done.mended), done.replaced, done.fetched) == ([NAME], (), ())
    assert whole_files(tmp_path) == published(site)


# --- kills -------------------------------------------------------------------------------------


def killed_fetch(url: str, root: Path, until, last: date = FIRST) -> None:
    """A fetch in another process, killed (SIGKILL) as soon as `until` holds."""
    module = "quantlab_pipeline_tests.sources.remote.killed_fetch"
    command = [sys.executable, "-m", module, url, str(root), str(FIRST), str(last)]
    child = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while not until():
            assert child.poll() is None, "the fetch ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()


def test_a_killed_fetch_goes_on_where_it_was(tmp_path):
    size = 3_000_000
    name = archive_name(UM, KLINES, SYMBOL, FIRST, daily=True)
    site = ArchiveSite(files_of("bars_1m_perp", [FIRST], size=size))
    site.fail(name, s.slow(0.02))
    with LocalServer(site) as server:

        def some() -> bool:
            return any(p.stat().st_size > 500_000 for p in tmp_path.rglob(".*-1m-*.part"))

        killed_fetch(server.url, tmp_path, some)
        assert name not in whole_files(tmp_path)
        assert not (tmp_path / name).exists()
        (part,) = tmp_path.rglob(".*-1m-*.part")
        there = part.stat().st_size
        assert 500_000 < there < size
        assert part.read_bytes() == site.files[name][:there]
        server.requests.clear()
        done = fetching(server.url, tmp_path, [FIRST])
        (again,) = [r for r in server.requests if r.path == f"/{name}"]
        assert again.headers["range"] == f"bytes={there}-"
        assert done.received <= 2 * len(site.files[name]) - there
    assert whole_files(tmp_path) == published(site)
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_was_replaced_between_kill_and_return_is_begun_anew(site, server, tmp_path):
    part = mirror_at(tmp_path).part(NAME, site.files[f"{NAME}.CHECKSUM"])
    part.write_bytes(site.files[NAME][:500])
    site.publish(NAME, content(NAME, version=2))
    fetching(server.url, tmp_path, DAYS)
    assert [r.headers.get("range") for r in server.requests if r.path == f"/{NAME}"] == [None]
    assert whole_files(tmp_path) == published(site)
    assert not part.exists()


class Died(BaseException):
    """Stands for SIGKILL: nothing below it catches it."""


def _dies_before(path: Path, data: bytes) -> None:
    raise Died


def _dies_after(path: Path, data: bytes) -> None:
    write_atomic(path, data)
    raise Died


@pytest.mark.parametrize("write", [_dies_before, _dies_after])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_death_beside_the_checksum_leaves_nothing_that_passes_for_whole(
    site, server, tmp_path, write, replaced
):
    if replaced:
        fetching(server.url, tmp_path, DAYS)
        site.publish(NAME, content(NAME, version=2))
    with pytest.raises(Died):
        fetching(server.url, tmp_path, DAYS, write=write, recheck=True, workers=1)
    for name in (n for n in DiskTree(tmp_path).names() if archive_file(n)):
        checksum = (tmp_path / f"{name}.CHECKSUM").read_bytes()
        data = (tmp_path / name).read_bytes()
        if stated_sha256(name, checksum) == file_sha256(tmp_path / name):
            assert data in {site.files[name], content(name)}
        else:
            assert (name, replaced, write) == (NAME, True, _dies_after)
    done = fetching(server.url, tmp_path, DAYS, recheck=True)
    assert whole_files(tmp_path) == published(site)
    assert names(done.replaced) == ([NAME] if replaced else [])
    if replaced:
        assert (tmp_path / done.replaced[0].kept_as).read_bytes() == content(NAME)


def test_a_death_before_the_last_line_of_the_journal_is_made_good(site, server, tmp_path):
    fetching(server.url, tmp_path, DAYS)
    site.publish(NAME, content(NAME, version=2))
    fetching(server.url, tmp_path, DAYS, recheck=True)
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    done = fetching(server.url, tmp_path, DAYS)
    (entry,) = done.replaced
    assert (entry.name, entry.was) == (NAME, json.loads(lines[-1])["was"])
    assert (tmp_path / entry.kept_as).read_bytes() == content(NAME)
    assert fetching(server.url, tmp_path, DAYS).replaced == ()
    assert list(read_journal(journal))[-1] == entry


# --- the folder and the account ----------------------------------------------------------------


def test_two_fetches_do_not_share_a_folder(server, tmp_path):
    with mirror_at(tmp_path).locked(), pytest.raises(SourceError, match="Another fetch is at work"):
        fetching(server.url, tmp_path, DAYS)
    fetching(server.url, tmp_path, DAYS)


def test_a_folder_that_cannot_be_written_is_an_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="Nothing can be written"):
        fetching(server.url, tmp_path / "file" / "below", DAYS)
    with pytest.raises(SourceError, match="Nothing can be written"):
        fetching(server.url, tmp_path / "file", DAYS)


def test_progress_ends_with_everything_done(site, server, tmp_path):
    ticks: list[Tick] = []
    done = fetching(server.url, tmp_path, DAYS, progress=ticks.append)
    last = ticks[-1]
    assert (last.files, last.of_files, last.received) == (6, 6, done.received)
    assert [t.files for t in ticks] == sorted(t.files for t in ticks)
    assert last.left_s == 0


def test_time_left_and_rate_are_of_what_was_really_fetched():
    tick = Tick(files=30, of_files=50, present=20, received=5_000_000, seconds=10.0)
    assert (tick.left_s, tick.bytes_per_s) == (20.0, 500_000.0)
    assert Tick(5, 50, 5, 0, 0.0).left_s is None
    assert Tick(5, 50, 5, 0, 0.0).bytes_per_s == 0.0
