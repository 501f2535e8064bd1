"""A kept result comes back as it was, or not at all: damage is a miss, and age makes room."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.storage.doctor import sweep
from quantlab_pipeline.storage.objects import LocalObjects
from quantlab_pipeline.storage.result_cache import LakeResults, beyond_bound, result_key
from quantlab_pipeline_tests.storage.builders import toy_lake

TOMORROW = datetime.now(tz=UTC) + timedelta(days=1)
SIGNATURE, OTHER = digest("what it follows from"), digest("something else")
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
FRAMES = {
    "trades": pl.DataFrame(
        {
            "id": ["a", None, ""],
            "side": pl.Series([1, -1, 1], dtype=pl.Int8),
            "net": [float("nan"), None, -0.0],
            "ts": pl.Series([NOON, None, NOON], dtype=TS),
        }
    ),
    "none": pl.DataFrame(schema={"id": pl.String, "net": pl.Float64}),
}


def cache(root: Path) -> LakeResults:
    return LakeResults(LocalObjects(root))


def assert_as_put(found: dict[str, pl.DataFrame] | None) -> None:
    assert found is not None
    assert list(found) == list(FRAMES)
    for name, frame in FRAMES.items():
        assert_frame_equal(found[name], frame)


def test_frames_come_back_as_they_were_put_and_only_under_their_signature(tmp_path: Path) -> None:
    assert cache(tmp_path).get(SIGNATURE) is None
    cache(tmp_path).put(SIGNATURE, FRAMES)
    assert_as_put(cache(tmp_path).get(SIGNATURE))
    assert cache(tmp_path).get(OTHER) is None


def test_the_same_frames_are_the_same_bytes_however_they_were_put_together(tmp_path: Path) -> None:
    pieces = {n: pl.concat([f[:1], f[1:]], rechunk=False) for n, f in FRAMES.items()}
    for folder, frames in (("a", FRAMES), ("b", pieces)):
        cache(tmp_path / folder).put(SIGNATURE, frames)
    first, second = (tmp_path / f / result_key(SIGNATURE) for f in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 60, 400, -1])
def test_a_result_that_was_cut_short_is_a_miss_and_is_replaced(tmp_path: Path, cut: int) -> None:
    cache(tmp_path).put(SIGNATURE, FRAMES)
    path = tmp_path / result_key(SIGNATURE)
    path.write_bytes(path.read_bytes()[:cut])
    assert cache(tmp_path).get(SIGNATURE) is None
    cache(tmp_path).put(SIGNATURE, FRAMES)
    assert_as_put(cache(tmp_path).get(SIGNATURE))


def test_no_touched_byte_is_served(tmp_path: Path) -> None:
    cache(tmp_path).put(SIGNATURE, FRAMES)
    path = tmp_path / result_key(SIGNATURE)
    whole = path.read_bytes()
    for where in range(0, len(whole), 7):
        touched = bytearray(whole)
        touched[where] ^= 0x40
        path.write_bytes(bytes(touched))
        assert cache(tmp_path).get(SIGNATURE) is None, where


def test_a_result_in_anothers_place_is_a_miss(tmp_path: Path) -> None:
    cache(tmp_path).put(SIGNATURE, FRAMES)
    there = tmp_path / result_key(OTHER)
    there.parent.mkdir(parents=True)
    there.write_bytes((tmp_path / result_key(SIGNATURE)).read_bytes())
    assert cache(tmp_path).get(OTHER) is None


def test_a_kill_in_the_middle_of_a_put_leaves_nothing_or_the_whole(tmp_path: Path) -> None:
    seen: list[str] = []

    class KilledError(Exception):
        """The process ended."""

    for dies_at in range(6):
        steps = iter(range(100))

        def step(name: str, steps=steps, dies_at=dies_at) -> None:
            if next(steps) == dies_at:
                seen.append(name.split(maxsplit=1)[0])
                raise KilledError

        results = LakeResults(LocalObjects(tmp_path / str(dies_at), step))
        with pytest.raises(KilledError):
            results.put(SIGNATURE, FRAMES)
        found = cache(tmp_path / str(dies_at)).get(SIGNATURE)
        if seen[-1] == "fsync" and len(seen) == 6:
            assert_as_put(found)
        else:
            assert found is None
    assert seen == ["mkdir", "open", "write", "fsync", "rename", "fsync"]


def test_what_was_asked_for_last_is_kept_and_the_rest_goes_at_the_bound(tmp_path: Path) -> None:
    lake = toy_lake(tmp_path)
    results = LakeResults(lake.objects)
    signatures = [digest(i) for i in range(3)]
    for age, signature in enumerate(signatures):
        results.put(signature, FRAMES)
        at = datetime(2020, 1, 1, tzinfo=UTC).timestamp() + age
        os.utime(tmp_path / result_key(signature), (at, at))
    size = (tmp_path / result_key(signatures[0])).stat().st_size
    assert beyond_bound(lake.objects, 3 * size) == []
    results.get(signatures[0])
    assert beyond_bound(lake.objects, size) == [result_key(s) for s in signatures[1:]]
    dry = sweep(lake, TOMORROW, dry_run=True, most_result_bytes=2 * size)
    assert dry.results == (result_key(signatures[1]),)
    assert sweep(lake, TOMORROW, most_result_bytes=2 * size) == dry
    assert [results.get(s) is None for s in signatures] == [False, True, False]


def test_a_leftover_of_a_killed_put_is_swept(tmp_path: Path) -> None:
    lake = toy_lake(tmp_path)
    LakeResults(lake.objects).put(SIGNATURE, FRAMES)
    left = (tmp_path / result_key(SIGNATURE)).parent / ".tmp-left"
    left.write_bytes(b"half")
    assert len(sweep(lake, TOMORROW).leftovers) == 1
    assert not left.exists()
    assert_as_put(LakeResults(lake.objects).get(SIGNATURE))
