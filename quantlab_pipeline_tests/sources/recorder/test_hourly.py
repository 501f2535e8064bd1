"""The recorder's files: readable to the last flush, one an hour, never written over."""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.sources.capture.unzip import WholeLines
from quantlab_pipeline.sources.recorder.hourly import HOUR_NS, HourlyFiles

START_NS = 1_723_118_400 * 10**9


def lines(path: Path) -> list[str]:
    return b"".join(WholeLines(path.read_bytes(), path.name)).decode().splitlines()


def test_what_was_flushed_can_be_read_although_the_file_has_no_end(tmp_path):
    files = HourlyFiles(tmp_path, "usdm", "BTCUSDT")
    files.add(START_NS, "one")
    files.add(START_NS + 1, "two")
    files.flush()
    files.add(START_NS + 2, "three")
    (path,) = tmp_path.rglob("*.gz")
    assert lines(path) == [f"{START_NS} one", f"{START_NS + 1} two"]
    files.close()
    assert gzip.decompress(path.read_bytes()).decode().endswith(f"{START_NS + 2} three\n")
    assert files.bytes_written == path.stat().st_size


def test_a_clock_that_was_set_back_does_not_go_back_to_an_earlier_file(tmp_path):
    files = HourlyFiles(tmp_path, "usdm", "BTCUSDT")
    for stamp in (START_NS, START_NS + HOUR_NS, START_NS + 5, START_NS + HOUR_NS + 5):
        files.add(stamp, "x")
    files.close()
    names = sorted(p.name for p in tmp_path.rglob("*.gz"))
    assert names == ["btcusdt_20240808T12.gz", "btcusdt_20240808T13.gz"]
    assert len(lines(tmp_path / "usdm" / names[1])) == 3


def test_an_empty_hour_has_no_file_and_a_flush_of_nothing_writes_nothing(tmp_path):
    files = HourlyFiles(tmp_path, "usdm", "BTCUSDT")
    files.flush()
    files.close()
    assert not list(tmp_path.rglob("*"))
    files.add(START_NS, "x")
    files.flush()
    size = files.bytes_written
    files.flush()
    assert files.bytes_written == size


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR_NS), st.text(max_size=9), st.booleans())))
def test_every_line_is_kept_once_and_in_order(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("hourly")
    files = HourlyFiles(root, "spot", "BTCUSDT")
    kept = []
    for later_ns, text, flushes in sorted(steps, key=lambda step: step[0]):
        payload = "".join(text.split())
        files.add(START_NS + later_ns, payload)
        kept.append(f"{START_NS + later_ns} {payload}")
        if flushes:
            files.flush()
    files.close()
    found = b"".join(gzip.decompress(p.read_bytes()) for p in sorted(root.rglob("*.gz")))
    assert found.decode().split("\n")[:-1] == kept
