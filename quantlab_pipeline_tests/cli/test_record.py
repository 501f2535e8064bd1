"""`quantlab record` as a process: what signals, kills, full disks and long runs do to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from quantlab_pipeline.commands.record import _words
from quantlab_pipeline.sources.base import DiskTree
from quantlab_pipeline.sources.capture.source import Capture
from quantlab_pipeline.sources.capture.unzip import WholeLines
from quantlab_pipeline.sources.recorder.recorder import Status
from quantlab_pipeline.sources.recorder.writer import Account
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.sources.recorder import venue as v

MAX_GROWTH_MB = 25
"""What 150,000 more messages may add; kept in memory they would be 60 MB."""

_RUN = [sys.executable, "-m", "quantlab_pipeline.cli", "record", "--symbols", "BTCUSDT"]
_SMALL_FILES = (
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    "from quantlab_pipeline.cli import main; main()"
)


@contextlib.asynccontextmanager
async def recording(
    out: Path, served: v.Venue, *more: str, run=_RUN
) -> AsyncIterator[asyncio.subprocess.Process]:
    where = ["--market", "spot", "--base-url", f"spot={served.url}", "--out", str(out)]
    child = await asyncio.create_subprocess_exec(
        *run, *where, *more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def found_in(out: Path) -> list[str]:
    """Payloads that can be read, also of a file that has no end; the venue's alone."""
    texts = [b"".join(WholeLines(p.read_bytes(), p.name)) for p in sorted(out.rglob("*.gz"))]
    lines = [line.partition(" ")[2] for text in texts for line in text.decode().splitlines()]
    return [line for line in lines if "!quantlab" not in line]


async def until_written(out: Path, n: int) -> None:
    """Wait until the files hold `n` frames, half a minute at most."""
    for _ in range(60):
        if len(found_in(out)) >= n:
            return
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_that_came_and_one_line_of_how_it_went(tmp_path, how):
    frames = [v.quote(u) for u in range(2_000)]

    async def go():
        # It hangs: no goodbye is answered.
        async with v.venue([*frames, v.HANG]) as served, recording(tmp_path, served) as child:
            await served.until_sent(len(frames))
            await until_written(tmp_path, len(frames))
            child.send_signal(how)
            began = time.monotonic()
            out, err = await child.communicate()
            return child.returncode, out.decode(), err.decode(), time.monotonic() - began

    code, out, err, took_s = asyncio.run(go())
    assert code == 0, err
    assert took_s < 30
    assert out.startswith("recorded 2,000 messages, ")
    assert out.count("\n") == 1
    assert "0 gaps" in out
    assert "recording spot BTCUSDT" in err
    assert found_in(tmp_path) == frames


def test_it_ends_by_itself_after_the_asked_seconds(tmp_path):
    async def go():
        async with (
            v.venue([v.quote(1)]) as served,
            recording(tmp_path, served, "--seconds", "1") as child,
        ):
            out, _ = await asyncio.wait_for(child.communicate(), 40)
            return child.returncode, out.decode()

    code, out = asyncio.run(go())
    assert code == 0
    assert out.startswith("recorded 1 messages")


def test_a_kill_loses_no_more_than_the_last_second_and_the_file_loads(tmp_path):
    safe = [v.quote(u) for u in range(3_000)]
    late = [v.quote(u) for u in range(3_000, 3_400)]

    async def go():
        async with v.venue([*safe, 1.2, *late]) as served, recording(tmp_path, served) as child:
            await served.until_sent(len(safe) + len(late))
            child.kill()
            await child.wait()

    asyncio.run(go())
    found = found_in(tmp_path)
    assert found == [*safe, *late][: len(found)]
    assert len(found) >= len(safe)
    file = next(tmp_path.rglob("*.gz"))
    day = date.fromisoformat(file.name[8:16])
    days = [day + timedelta(days=k) for k in (-1, 0, 1)]
    parsed = ingest(Capture(DiskTree(tmp_path)), "tob_snapshots", days)
    assert parsed.frame["n_updates"].sum() == len(found)
    assert [f.count for f in parsed.findings if f.check == "truncated_file"] == [1]


def test_a_disk_that_takes_no_more_ends_it_with_one_message_and_keeps_what_it_has(tmp_path):
    frames = [v.quote(u).replace("99", f"{u * 7919 % 100_003}") for u in range(20_000)]
    run = [sys.executable, "-c", _SMALL_FILES, "record", "--symbols", "BTCUSDT"]

    async def go():
        async with v.venue(frames) as served, recording(tmp_path, served, run=run) as child:
            _, err = await asyncio.wait_for(child.communicate(), 60)
            return child.returncode, err.decode()

    code, err = asyncio.run(go())
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("quantlab: ")
    assert "cannot be written" in last
    found = found_in(tmp_path)
    assert found == frames[: len(found)]
    assert len(found) > 100


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads memory from /proc")
def test_memory_is_flat_over_a_long_run(tmp_path):
    frames = (v.quote(u, event_ms=u) for u in range(200_000))

    async def go():
        async with v.venue(frames) as served, recording(tmp_path, served) as child:
            sizes = []
            for n in (50_000, 200_000):
                await served.until_sent(n, 300)
                await until_written(tmp_path, n)
                sizes.append(resident_mb(child.pid))
            child.send_signal(signal.SIGTERM)
            out, _ = await child.communicate()
            return sizes, out.decode()

    sizes, out = asyncio.run(go())
    assert out.startswith("recorded 200,000 messages")
    assert sizes[1] - sizes[0] < MAX_GROWTH_MB, sizes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--symbols", "BTC/USDT"], "BTC/USDT is no symbol"),
        (["--symbols", "BTCUSDT", "--market", "coinm"], "no market coinm"),
        (["--symbols", "BTCUSDT", "--base-url", "ws://x"], "names no market"),
        (["--symbols", "BTCUSDT", "--base-url", "usdm=http://x"], "no websocket address"),
    ],
)
def test_what_cannot_be_recorded_is_one_message_and_code_2(quantlab, tmp_path, arguments, said):
    ended = quantlab("record", "--out", tmp_path / "out", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_message(quantlab, tmp_path):
    (tmp_path / "file").write_text("x")
    ended = quantlab("record", "--out", tmp_path / "file" / "out", "--symbols", "BTCUSDT")
    assert ended.code == 2
    assert "cannot be made" in ended.err


def test_a_status_says_what_is_wrong_only_where_something_is():
    account = Account(1234, 5_000_000, 1, 2, 3, 0, {"usdm": -1270, "spot": 12})
    well = Status(60.0, account, 2, 2, 0, 0.0, 0, 0.0, "")
    assert _words(well) == (
        "1,234 messages, 5.0 MB, 60 s; 0 gaps (0.0 s); 1 repeated, 2 late, 3 missing; "
        "spot clock 12 ms after the venue; usdm clock 1270 ms behind the venue"
    )
    odd = Account(1, 0, 0, 0, 0, 7, {})
    ill = Status(1.0, odd, 1, 2, 3, 4_500.0, 9, 1.5, "refused")
    assert _words(ill).endswith(
        "3 gaps (4.5 s); 0 repeated, 0 late, 0 missing; 7 odd frames; the disk is slow: waited 9 "
        "times, 1.5 s; 1 of 2 connections stand (refused)"
    )
