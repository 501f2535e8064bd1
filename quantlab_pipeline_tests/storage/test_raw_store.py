"""Raw bytes are kept once, corrections beside them, and nothing damaged is handed on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.ports import RawSink
from quantlab_pipeline.storage.raw_store import FileRawSink
from quantlab_pipeline_tests.storage.builders import ticking

PLACE = ("archive", "bars", "BTC/USDT", "2026-01.zip")
URL = "https://example.org/2026-01.zip"


@pytest.fixture
def sink(tmp_path: Path) -> FileRawSink:
    """An empty raw store."""
    return FileRawSink(tmp_path, ticking())


def test_the_same_bytes_again_change_nothing(sink: FileRawSink, tmp_path: Path) -> None:
    port: RawSink = sink
    first = port.put(*PLACE, b"one", URL)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert port.put(*PLACE, b"one", "https://mirror.example.org") == first
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert first.path == "raw/archive/bars/BTC%2FUSDT/2026-01.zip"
    assert first.arrived_at is None
    assert port.read(first) == b"one"


def test_a_correction_is_kept_beside_with_its_arrival(sink: FileRawSink) -> None:
    first = sink.put(*PLACE, b"one", URL)
    second = sink.put(*PLACE, b"two", URL)
    assert second.path.startswith(first.path + "@")
    assert second.arrived_at == datetime(2026, 6, 1, tzinfo=UTC)
    assert (sink.read(first), sink.read(second)) == (b"one", b"two")
    assert sink.versions(*PLACE) == [first, second]
    assert sink.put(*PLACE, b"two", URL) == second
    assert sink.put(*PLACE, b"one", URL) == first


def test_damaged_and_lost_files_are_source_errors_and_can_be_put_again(
    sink: FileRawSink, tmp_path: Path
) -> None:
    file = sink.put(*PLACE, b"one", URL)
    (tmp_path / file.path).write_bytes(b"One")
    with pytest.raises(SourceError, match="checksum"):
        sink.read(file)
    (tmp_path / file.path).unlink()
    with pytest.raises(SourceError, match="is gone"):
        sink.read(file)
    assert sink.put(*PLACE, b"one", URL) == file
    assert sink.read(file) == b"one"


def test_bytes_without_a_card_were_never_acknowledged(sink: FileRawSink, tmp_path: Path) -> None:
    file = sink.put(*PLACE, b"half", URL)
    (tmp_path / f"{file.path}.card.json").unlink()
    again = sink.put(*PLACE, b"whole", URL)
    assert again.path == file.path
    assert sink.read(again) == b"whole"
