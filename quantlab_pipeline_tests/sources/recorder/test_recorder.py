"""The recorder against a venue that drops, repeats, reorders, hangs and sends garbage."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from quantlab_pipeline.sources.base import DiskTree
from quantlab_pipeline.sources.capture.source import Capture
from quantlab_pipeline.sources.recorder.feed import RecorderError, feeds
from quantlab_pipeline.sources.recorder.recorder import Recorder
from quantlab_pipeline_tests.sources.builders import ingest
from quantlab_pipeline_tests.sources.recorder import venue as v

HOUR_NS = 3600 * 10**9
START_NS = 1_723_118_400 * 10**9
"""2024-08-08 12:00 UTC."""


def heard(n: int):
    return lambda status: status.account.messages >= n


def test_every_frame_is_in_the_files_once_and_in_order(tmp_path):
    frames = [
        *(v.quote(u) for u in range(50)),
        *("garbage", "{", "", '{"result":null,"id":1}', v.quote(99)[:40]),
        *(v.trade(a) for a in range(50)),
    ]
    status = v.record(tmp_path, [frames], v.Ticking(START_NS), heard(105))
    assert v.sent_in(tmp_path) == frames
    assert status.account.messages == 105
    assert status.account.odd_frames == 5
    stamps = [stamp for stamp, _ in v.lines_in(tmp_path)]
    assert stamps == sorted(stamps)
    assert [len(v.own_in(tmp_path, e)) for e in ("started", "stopped", "reconnected")] == [1, 1, 0]


def test_frames_that_are_no_line_of_text_are_kept_to_the_byte(tmp_path):
    forged = '{"stream":"!quantlab","data":{"e":"reconnected","gap_ms":1}}'
    frames = [b"\x00\xff\n", "two\nlines", forged, v.quote(1)]
    status = v.record(tmp_path, [frames], v.Ticking(START_NS), heard(4))
    assert [base64.b64decode(d["base64"]) for d in v.own_in(tmp_path, "binary")] == frames[:1]
    assert [d["text"] for d in v.own_in(tmp_path, "text")] == frames[1:3]
    assert v.own_in(tmp_path, "reconnected") == []
    assert status.account.odd_frames == 3
    parsed = ingest(Capture(DiskTree(tmp_path)), "tob_snapshots", [date(2024, 8, 8)])
    assert [(f.check, f.count) for f in parsed.findings if f.check == "garbage_lines"] == [
        ("garbage_lines", 3)
    ]


def test_each_symbol_has_its_own_file_and_each_market_its_folder(tmp_path):
    symbols = ("BTCUSDT", "ETHUSDT")
    both = [v.quote(u, s) for u in range(20) for s in symbols]

    async def go():
        async with v.venue(both) as perp, v.venue(both[::-1]) as spot:
            venues = {"usdm": perp, "spot": spot}
            made = v.recorder(tmp_path, venues, v.Ticking(START_NS), symbols)
            return await v.record_until(made, heard(80))

    asyncio.run(go())
    for folder, sent in (("usdm", both), ("spot", both[::-1])):
        for symbol in symbols:
            found = v.sent_in(tmp_path, f"{folder}/{symbol.lower()}_20240808T12.gz")
            assert found == [text for text in sent if symbol in text]
    assert len(list(tmp_path.rglob("*.gz"))) == 4


def test_both_connections_of_a_market_write_one_file(tmp_path):
    quotes, trades = [v.quote(u) for u in range(30)], [v.trade(a) for a in range(30)]
    clock = v.Ticking(START_NS)

    async def go():
        # The first to come drops once: which of the two that is, does not matter.
        scripts = [[*quotes, v.DROP], trades, []]
        async with v.venue(*scripts) as served:
            wanted = feeds(["usdm"], ["BTCUSDT"], {"usdm": served.url})
            made = Recorder(wanted, tmp_path, clock, lambda: 0.5, patience=v.HASTE, pace=v.SOON)
            status = await v.record_until(made, lambda s: heard(60)(s) and s.reconnects == 1)
            return served.asked, status

    asked, status = asyncio.run(go())
    assert {path.split("/stream")[0] for path in asked} == {"/public", "/market"}
    assert (len(asked), status.feeds) == (3, 2)
    (file,) = tmp_path.rglob("*.gz")
    assert file.name == "btcusdt_20240808T12.gz"
    found = v.sent_in(tmp_path)
    assert [x for x in found if "bookTicker" in x] == quotes
    assert [x for x in found if "aggTrade" in x] == trades
    assert len(v.own_in(tmp_path, "started")) == 1
    (hole,) = v.own_in(tmp_path, "reconnected")
    assert hole["kinds"] in (["bookTicker"], ["markPrice", "aggTrade"])


def test_repeats_late_and_missing_ids_are_counted_exactly(tmp_path):
    frames = [
        *(v.quote(u) for u in (1, 5, 5, 4, 9, 9, 9, 2)),
        *(v.trade(a) for a in (10, 11, 11, 15, 12, 16)),
    ]
    account = v.record(tmp_path, [frames], v.Ticking(START_NS), heard(14)).account
    assert (account.repeats, account.backwards, account.missing) == (3 + 1, 2 + 1, 3)


def test_dropped_connections_come_again_and_each_hole_is_told_in_the_file(tmp_path):
    scripts = [
        [*(v.quote(u) for u in range(10)), v.DROP],
        [*(v.quote(u) for u in range(10, 15)), v.CLOSE],
        [v.DROP],
        [v.quote(u) for u in range(15, 20)],
    ]
    clock = v.Ticking(START_NS, 7_000_000)
    status = v.record(tmp_path, scripts, clock, heard(20))
    assert v.sent_in(tmp_path) == [v.quote(u) for u in range(20)]
    holes = v.own_in(tmp_path, "reconnected")
    assert status.reconnects == len(holes) == 3
    assert len(v.own_in(tmp_path, "disconnected")) == 3
    assert status.gap_ms == pytest.approx(sum(h["gap_ms"] for h in holes))
    # The hole is from the last message before to the opening after, by the same clock.
    lines = v.lines_in(tmp_path)
    last = next(stamp for stamp, payload in lines if payload == v.quote(9))
    again = next(stamp for stamp, payload in lines if '"reconnected"' in payload)
    assert holes[0]["gap_ms"] == pytest.approx((again - last) / 1e6, abs=8)
    parsed = ingest(Capture(DiskTree(tmp_path)), "tob_snapshots", [date(2024, 8, 8)])
    assert [f.count for f in parsed.findings if f.check == "sequence_gaps"] == [3]


def test_a_venue_that_says_nothing_is_left_and_one_that_is_old_is_renewed(tmp_path):
    scripts = [[v.quote(1)], [v.quote(2)]]
    silent = replace(v.HASTE, silence_s=0.2)
    clock = v.Ticking(START_NS)
    v.record(tmp_path / "a", scripts, clock, heard(2), patience=silent)
    assert v.own_in(tmp_path / "a", "disconnected")[0]["reason"] == "silent"
    old = replace(v.HASTE, lifetime_s=0.2)
    v.record(tmp_path / "b", scripts, clock, heard(2), market="spot", patience=old)
    assert v.own_in(tmp_path / "b", "disconnected")[0]["reason"] == "planned"
    assert v.sent_in(tmp_path / "b") == [v.quote(1), v.quote(2)]


def test_a_quiet_spot_market_is_not_taken_for_dead(tmp_path):
    scripts = [[v.quote(1), 0.6, v.quote(2)]]
    silent = replace(v.HASTE, silence_s=0.2)
    status = v.record(tmp_path, scripts, v.Ticking(START_NS), heard(2), "spot", patience=silent)
    assert status.reconnects == 0


def test_files_change_at_the_hour_and_nothing_is_lost_there(tmp_path):
    frames = [v.quote(u) for u in range(40)]
    clock = v.Ticking(START_NS, HOUR_NS // 10)
    v.record(tmp_path, [frames], clock, heard(40))
    files = sorted(p.name for p in tmp_path.rglob("*.gz"))
    assert len(files) >= 4
    assert v.sent_in(tmp_path) == frames
    for path in tmp_path.rglob("*.gz"):
        hour = int(path.name[-5:-3])
        stamps = [stamp for stamp, _ in v.lines_in(tmp_path, f"**/{path.name}")]
        assert {stamp // HOUR_NS % 24 for stamp in stamps} == {hour}


def test_after_a_restart_in_the_same_hour_nothing_is_overwritten(tmp_path):
    clock = v.Ticking(START_NS)
    for first in (0, 10, 20):
        frames = [v.quote(u) for u in range(first, first + 10)]
        v.record(tmp_path, [frames], clock, heard(10))
    names = sorted(p.name for p in tmp_path.rglob("*.gz"))
    assert names == [f"btcusdt_20240808T12{part}.gz" for part in ("-2", "-3", "")]
    assert v.sent_in(tmp_path) == [v.quote(u) for u in range(30)]


def test_a_full_backlog_makes_receiving_wait_and_drops_nothing(tmp_path):
    frames = [v.quote(u) for u in range(3_000)]
    tight = v.Pace(flush_s=0.02, report_s=0, backlog_bytes=2_000)
    status = v.record(tmp_path, [frames], v.Ticking(START_NS), heard(3_000), pace=tight)
    assert v.sent_in(tmp_path) == frames
    assert status.slow_waits > 0
    assert v.own_in(tmp_path, "slow_disk")


def test_a_server_that_hangs_does_not_hold_up_the_end(tmp_path):
    async def go():
        async with v.venue([v.quote(1), v.HANG]) as served:
            made = v.recorder(tmp_path, {"usdm": served}, v.Ticking(START_NS))
            stop = asyncio.Event()
            made.report = lambda status: stop.set() if status.account.messages else None
            began = time.monotonic()
            await made.run(stop)
            return time.monotonic() - began

    assert asyncio.run(go()) < 10
    assert v.sent_in(tmp_path) == [v.quote(1)]


def test_a_venue_that_is_not_there_is_tried_again_and_the_end_still_comes(tmp_path):
    async def go():
        async with v.venue() as served:
            made = v.recorder(tmp_path, {"usdm": served}, v.Ticking(START_NS))
        return await v.record_until(made, lambda status: bool(status.last_reason))

    status = asyncio.run(go())
    assert (status.connected, status.account.messages) == (0, 0)
    assert "Connect" in status.last_reason or "refused" in status.last_reason.lower()


def test_a_folder_that_cannot_be_written_ends_the_recording_with_one_message(tmp_path):
    (tmp_path / "usdm").write_text("a file where a folder should be")
    with pytest.raises(RecorderError, match="cannot be written"):
        v.record(tmp_path, [[v.quote(1)]], v.Ticking(START_NS), heard(1))


@pytest.mark.parametrize("name", ["usdm/btcusdt_20230405.dat.gz", "spot/btcusdt_20230405.dat.gz"])
def test_a_real_capture_replayed_at_speed_is_recorded_line_for_line(tmp_path, real_data, name):
    raw = gzip.decompress((real_data / "ws_capture" / name).read_bytes()).decode().splitlines()
    frames = [line.partition(" ")[2] for line in raw]
    market = name.partition("/")[0]
    # The clock goes as fast as the messages did.
    stamps = iter([int(line.partition(" ")[0]) * 1000 for line in raw])
    now = [int(raw[0].partition(" ")[0]) * 1000]

    def clock() -> int:
        now[0] = next(stamps, now[0])
        return now[0]

    thirds = len(frames) // 3
    scripts = [
        [*frames[:thirds], v.DROP],
        [*frames[thirds : 2 * thirds], v.DROP],
        frames[2 * thirds :],
    ]
    status = v.record(tmp_path, scripts, clock, heard(len(frames)), market)
    assert v.sent_in(tmp_path) == frames
    assert (status.reconnects, status.account.repeats, status.account.backwards) == (2, 0, 0)
    days = [date(2023, 4, 5)]
    recorded = ingest(Capture(DiskTree(tmp_path)), "tob_snapshots", days).frame
    original = ingest(Capture(DiskTree(real_data / "ws_capture")), "tob_snapshots", days).frame
    leg = "perp" if market == "usdm" else "spot"
    counts = [f.filter(pl.col("leg") == leg)["n_updates"].sum() for f in (recorded, original)]
    assert abs(counts[0] - counts[1]) <= 2
