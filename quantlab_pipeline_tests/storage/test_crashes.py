"""A kill at any instant, a full disk, a reader in the middle: one version of a day, whole."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.doctor import examine, sweep
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.objects import (
    LocalObjects,
    NoSpaceError,
    UnknownRootError,
    open_objects,
    write_atomic,
)
from quantlab_pipeline_tests.storage.builders import DAYS, build, judge_days, rows, toy_lake

TOMORROW = datetime.now(tz=UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def graveyard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lakes in which a second write of the first day was killed, one for each system call."""
    folder = tmp_path_factory.mktemp("killed")
    toy_lake(folder / "old").write("bars", rows("bars", DAYS[:2]), DAYS[:2])
    command = [sys.executable, "-m", "quantlab_pipeline_tests.storage.killed_writes", str(folder)]
    subprocess.run(command, check=True, timeout=120)
    return folder


def test_a_kill_before_any_system_call_leaves_a_whole_day(graveyard: Path) -> None:
    killed = sorted(graveyard.glob("killed-*"))
    assert len(killed) >= 3 * 5
    before = toy_lake(graveyard / "old").read("bars", DAYS[:2], gated=False)
    after = toy_lake(graveyard / "whole").read("bars", DAYS[:2], gated=False)
    assert not before.equals(after)
    seen = []
    for root in killed:
        lake = toy_lake(root)
        read = lake.read("bars", DAYS[:2], gated=False, verify=True)
        assert read.equals(before) or read.equals(after)
        seen.append(read.equals(after))
    assert seen == sorted(seen)
    assert not seen[0]
    # The last steps come after the manifest's rename: the new day counts from there on.
    assert sum(seen) == 1
    assert any(list(root.rglob(".tmp-*")) for root in killed)


def test_what_a_kill_left_is_swept_and_the_write_can_be_repeated(
    graveyard: Path, tmp_path: Path
) -> None:
    for killed in sorted(graveyard.glob("killed-*"))[3::4]:
        root = tmp_path / killed.name
        shutil.copytree(killed, root)
        lake = toy_lake(root)
        sweep(lake, TOMORROW)
        assert not list(root.rglob(".tmp-*"))
        assert examine(lake).damage == ()
        lake.write("bars", rows("bars", DAYS[:1], value=50.0), DAYS[:1])
        whole = toy_lake(graveyard / "whole")
        assert lake.fingerprint("bars", DAYS[0]) == whole.fingerprint("bars", DAYS[0])


def full_disk(at: str) -> Callable[[str], None]:
    """A step that finds the disk full at calls whose name begins with `at`."""

    def step(name: str) -> None:
        if name.startswith(at):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return step


@pytest.mark.parametrize("at", ["mkdir", "open", "write", "fsync ", "rename"])
def test_a_full_disk_is_one_clear_error_and_leaves_the_old_day(root: Path, at: str) -> None:
    lake = toy_lake(root)
    lake.write("bars", rows("bars", DAYS[:1]), DAYS[:1])
    before = lake.read("bars", DAYS[:1], gated=False)
    full = toy_lake(LocalObjects(root, full_disk(at)))
    with pytest.raises(NoSpaceError, match=r"No space left while writing .*bars") as caught:
        full.write("bars", rows("bars", DAYS[:1], value=9.0), DAYS[:1])
    assert isinstance(caught.value, QuantlabError)
    assert caught.value.exit_code == 2
    assert "Free some disk space" in caught.value.remedy
    assert not list(root.rglob(".tmp-*"))
    assert toy_lake(root).read("bars", DAYS[:1], gated=False).equals(before)


def test_other_errors_of_the_disk_are_not_disguised(tmp_path: Path) -> None:
    def step(name: str) -> None:
        if name == "write":
            raise OSError(errno.EIO, "input/output error")

    with pytest.raises(OSError, match="input/output"):
        write_atomic(tmp_path / "x", b"1", step)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_in_the_middle_sees_one_version_of_the_day(root: Path) -> None:
    lake = toy_lake(root)
    versions = [rows("bars", DAYS[:1], value=v) for v in (1.0, 100.0)]
    lake.write("bars", versions[0], DAYS[:1])
    stop = threading.Event()
    torn: list[object] = []
    reads = 0

    def reading(reader: Lake) -> None:
        nonlocal reads
        while not stop.is_set():
            read = reader.read("bars", DAYS[:1], gated=False, verify=True)
            reads += 1
            if not any(read.equals(v) for v in versions):
                torn.append(read)

    thread = threading.Thread(target=reading, args=(toy_lake(root),))
    thread.start()
    for i in range(40):
        lake.write("bars", versions[(i + 1) % 2], DAYS[:1])
    stop.set()
    thread.join()
    assert reads > 5
    assert torn == []


def test_sweeping_takes_unlisted_files_once_they_are_old(root: Path) -> None:
    lake = toy_lake(root)
    lake.write("bars", rows("bars", DAYS), DAYS)
    lake.write("bars", rows("bars", DAYS[:1], value=9.0), DAYS[:1])
    (root / "tables" / ".tmp-left").write_bytes(b"half")
    young = sweep(lake, datetime.now(tz=UTC))
    assert (young.leftovers, young.unlisted, young.spared) == ((), (), 3)
    dry = sweep(lake, TOMORROW, dry_run=True)
    assert (len(dry.leftovers), len(dry.unlisted)) == (1, 2)
    assert sweep(lake, TOMORROW) == dry
    assert sweep(lake, TOMORROW).bytes == 0
    assert lake.read("bars", DAYS, gated=False, verify=True).height == 32


def test_bytes_that_come_back_into_use_are_young_again(root: Path) -> None:
    lake = toy_lake(root)
    for value in (1.0, 2.0):
        lake.write("bars", rows("bars", DAYS[:1], value=value), DAYS[:1])
    old = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for path in root.rglob("*.parquet"):
        os.utime(path, (old, old))
    lake.write("bars", rows("bars", DAYS[:1], value=1.0), DAYS[:1])
    listed = lake.manifests.current("bars", "day=2026-01-01")
    assert listed is not None
    names = {entry.name for entry in listed.files}
    ages = {p.name: p.stat().st_mtime for p in root.rglob("*.parquet")}
    assert {n for n, at in ages.items() if at > old} == names


def test_the_doctor_names_every_kind_of_damage(chained: Lake, root: Path) -> None:
    assert examine(chained).damage == ()
    assert examine(chained).verdicts == 9
    file = next(root.glob("tables/bars/*/symbol=AAA/*.parquet"))
    file.write_bytes(b"x" * file.stat().st_size)
    (root / "manifests/events/day=2026-01-01.json").write_bytes(b"{}")
    verdict = next(p for p in root.glob("verdicts/D0/*/*.json") if p.name != "current.json")
    verdict.write_bytes(verdict.read_bytes().replace(b"PASS", b"FAIL", 1))
    damage = examine(chained).damage
    assert len(damage) == 3
    assert any("digest" in d for d in damage)
    assert any("manifest" in d for d in damage)
    assert any("verdict" in d for d in damage)


def test_verdicts_of_a_day_are_replaced_atomically_too(root: Path) -> None:
    lake = toy_lake(root)
    for table in ("bars", "book", "qa"):
        build(lake, table, DAYS[:1])
    judge_days(lake, Gate.D0, DAYS[:1])
    full = toy_lake(LocalObjects(root, full_disk("rename verdicts/D0/day=2026-01-01/current")))
    with pytest.raises(NoSpaceError):
        full.record_verdicts(Gate.D0, DAYS[0], [])
    assert toy_lake(root).read("bars", DAYS[:1]).height == 8


@pytest.mark.parametrize("threads", ["1", "2"])
def test_parquet_bytes_do_not_depend_on_threads(
    threads: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = [sys.executable, "-m", "quantlab_pipeline_tests.storage.encoded_bytes"]
    env = {**os.environ, "POLARS_MAX_THREADS": threads}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=60)
    known = tmp_path_factory.getbasetemp() / "encoded"
    assert done.stdout == (known.read_text() if known.exists() else done.stdout)
    known.write_text(done.stdout)


def test_a_root_of_another_kind_is_refused_in_words() -> None:
    with pytest.raises(UnknownRootError, match="s3://bucket is not a local folder"):
        open_objects("s3://bucket")
