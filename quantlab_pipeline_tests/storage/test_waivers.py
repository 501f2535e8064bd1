"""Waivers admit what failed, keep the reasons, and taint everything below."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import DamagedObjectError
from quantlab_pipeline.storage.waivers import (
    Waiver,
    WaiverError,
    WaiverStore,
    apply_waiver,
    waiver_from,
)
from quantlab_pipeline_tests.storage.builders import (
    DAYS,
    STUDY,
    build,
    candidates,
    items,
    judge_days,
    rows,
    toy_lake,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC).isoformat()


def waiver(gate: Gate, **scope: object) -> Waiver:
    """A waiver with everything it needs."""
    return Waiver(gate, "we look on", "ada", at=NOW, **scope)  # type: ignore[arg-type]


def test_a_waiver_says_why_and_who_and_for_one_thing() -> None:
    with pytest.raises(WaiverError, match="needs a reason"):
        Waiver(Gate.V1, " ", "ada")
    with pytest.raises(WaiverError, match="not both"):
        waiver(Gate.D0, study=STUDY, first_day=DAYS[0])


@pytest.mark.parametrize(
    ("scope", "partition", "covered"),
    [
        ({}, "day=2026-01-01", True),
        ({}, "study=toy", True),
        ({"study": "toy"}, "study=toy", True),
        ({"study": "toy"}, "study=other", False),
        ({"study": "toy"}, "day=2026-01-01", False),
        ({"first_day": DAYS[1]}, "day=2026-01-01", False),
        ({"first_day": DAYS[1]}, "day=2026-01-02", True),
        ({"last_day": DAYS[1]}, "day=2026-01-03", False),
        ({"first_day": DAYS[1], "last_day": DAYS[1]}, "day=2026-01-02", True),
        ({"first_day": DAYS[1]}, "study=toy", False),
    ],
)
def test_a_waiver_covers_its_scope(scope: dict[str, object], partition: str, covered: bool) -> None:
    assert waiver(Gate.D0, **scope).covers(Gate.D0, partition) is covered
    assert not waiver(Gate.D0, **scope).covers(Gate.B, partition)


VERDICTS = st.lists(st.tuples(st.sampled_from(list(Outcome)), st.floats(-5, 5)), max_size=12).map(
    lambda xs: [ItemVerdict(f"i{n}", o, ("R",), {}, rank) for n, (o, rank) in enumerate(xs)]
)


@given(verdicts=VERDICTS, top_n=st.integers(0, 5), gate=st.sampled_from(list(Gate)))
def test_a_waiver_admits_and_changes_nothing_else(
    verdicts: list[ItemVerdict], top_n: int, gate: Gate
) -> None:
    after = apply_waiver(verdicts, waiver(gate), top_n)
    assert [(v.item, v.reasons, v.rank) for v in after] == [
        (v.item, v.reasons, v.rank) for v in verdicts
    ]
    for old, new in zip(verdicts, after, strict=True):
        assert new.outcome in (old.outcome, Outcome.WAIVED)
        assert (new.outcome is Outcome.PASS) == (old.outcome is Outcome.PASS)
    failing = [v for v in verdicts if v.outcome is not Outcome.PASS]
    if gate in (Gate.V1, Gate.B, Gate.S):
        best = sorted(failing, key=lambda v: (v.rank, v.item))[:top_n]
        newly = {n.item for o, n in zip(verdicts, after, strict=True) if n is not o}
        assert newly == {v.item for v in best}
    else:
        assert all(v.outcome in (Outcome.PASS, Outcome.WAIVED) for v in after)
    assert apply_waiver(verdicts, None, top_n) == verdicts


def test_a_waived_gate_opens_and_its_taint_reaches_every_reader_below(root: Path) -> None:
    lake = toy_lake(root)
    for table in ("bars", "book", "qa"):
        build(lake, table)
    judge_days(lake, Gate.D0)
    bad = items(["AAA", "BBB"], BBB=Outcome.FAIL)
    taint = waiver(Gate.D0, first_day=DAYS[2], last_day=DAYS[2])
    record = lake.record_verdicts(Gate.D0, DAYS[2], bad, waiver=taint)
    assert not record.admissible
    assert record.outcome is Outcome.PASS
    assert lake.read("bars", DAYS).height == 32
    assert lake.plan("bars", DAYS[:2]).admissible
    assert lake.plan("bars", DAYS).tainted_by == (taint.id,)
    for table in ("universe", "features"):
        build(lake, table)
    judge_days(lake, Gate.PIT1)
    build(lake, "events")
    clean = {d.isoformat(): lake.plan("events", [d]).admissible for d in DAYS}
    assert list(clean.values()) == [True, True, False, False]
    build(lake, "labels")
    reads = lake.lineage_for("candidates", [STUDY], DAYS)
    lake.write("candidates", candidates("c1"), [STUDY], reads=reads)
    verdict = lake.record_verdicts(Gate.V1, STUDY, items(["c1"]))
    assert verdict.outcome is Outcome.PASS
    assert verdict.tainted_by == (taint.id,)
    found = lake.waivers.find(taint.id)
    assert found is not None
    assert (found.reason, found.who) == ("we look on", "ada")


def test_a_waiver_of_v1_admits_the_best_ranked_only(chained: Lake) -> None:
    failed = items(["a", "b", "c"], a=Outcome.FAIL, b=Outcome.UNDERPOWERED, c=Outcome.FAIL)
    chained.write(
        "candidates",
        candidates("a", "b", "c"),
        [STUDY],
        reads=chained.lineage_for("candidates", [STUDY], DAYS),
    )
    chained.record_verdicts(Gate.V1, STUDY, failed)
    with pytest.raises(GateNotPassedError):
        chained.read("candidates", [STUDY])
    record = chained.record_verdicts(
        Gate.V1, STUDY, failed, waiver=waiver(Gate.V1, study=STUDY), waiver_top_n=2
    )
    assert record.outcome is Outcome.WAIVED
    assert chained.read("candidates", [STUDY])["candidate_id"].to_list() == ["a", "b"]
    assert not chained.plan("candidates", [STUDY]).admissible
    history = chained.verdicts.history(Gate.V1, f"study={STUDY}")
    assert {r.outcome for r in history} == {Outcome.PASS, Outcome.FAIL, Outcome.WAIVED}


def test_taking_a_waiver_back_makes_what_was_built_on_it_stale(root: Path) -> None:
    lake = toy_lake(root)
    for table in ("bars", "book", "qa"):
        build(lake, table)
    bad = items(["AAA", "BBB"], BBB=Outcome.FAIL)
    for day in DAYS:
        lake.record_verdicts(Gate.D0, day, bad, waiver=waiver(Gate.D0))
    build(lake, "universe")
    lake.record_verdicts(Gate.D0, DAYS[0], bad)
    assert not lake.is_current("universe", DAYS[0])
    with pytest.raises(GateNotPassedError, match="under another verdict of D0"):
        lake.read("universe", DAYS)


def test_an_unused_waiver_taints_nothing(chained: Lake) -> None:
    record = chained.record_verdicts(
        Gate.V1, STUDY, items(["c1", "c2", "c3"]), waiver=waiver(Gate.V1), waiver_top_n=3
    )
    assert record.admissible


def test_a_waiver_for_something_else_is_refused(chained: Lake) -> None:
    with pytest.raises(WaiverError, match="is not for V1"):
        chained.record_verdicts(Gate.V1, STUDY, [], waiver=waiver(Gate.V1, study="other"))


def test_synthetic_rows_are_never_admissible(root: Path) -> None:
    lake = toy_lake(root, taints=("synthetic",))
    for table in ("bars", "book", "qa"):
        build(lake, table)
    judge_days(lake, Gate.D0)
    assert lake.plan("bars", DAYS).tainted_by == ("synthetic",)
    record = lake.verdicts.current(Gate.D0, "day=2026-01-01")
    assert record is not None
    assert not record.admissible
    assert record.outcome is Outcome.PASS


def test_waivers_are_kept_once_found_by_scope_and_watched(root: Path, lake: Lake) -> None:
    store = WaiverStore(lake.objects)
    first = waiver(Gate.D0, first_day=date(2026, 1, 2))
    later = Waiver(Gate.D0, "we look on", "ada", None, date(2026, 1, 2), at="later")
    assert store.put(first) == store.put(later) == first
    assert store.put(later).at == NOW
    assert waiver_from(first.to_bytes()) == first
    assert store.covering(Gate.D0, "day=2026-01-01") is None
    assert store.covering(Gate.D0, "day=2026-01-02") == first
    assert store.find("synthetic") is None
    path = next(root.glob("waivers/D0/*.json"))
    path.write_bytes(path.read_bytes().replace(b"look on", b"look up"))
    with pytest.raises(DamagedObjectError, match="was changed"):
        store.all(Gate.D0)


def test_a_verdict_changed_on_disk_is_refused(chained: Lake, root: Path) -> None:
    path = next(p for p in root.glob("verdicts/V1/study=toy/*.json") if p.name != "current.json")
    path.write_bytes(path.read_bytes().replace(b'"FAIL"', b'"PASS"'))
    with pytest.raises(DamagedObjectError, match="verdict"):
        toy_lake(root).read("candidates", [STUDY])


def test_the_same_verdict_again_keeps_its_object(chained: Lake, root: Path) -> None:
    before = sorted(p.name for p in root.glob("verdicts/V1/study=toy/*"))
    chained.record_verdicts(
        Gate.V1, STUDY, items(["c1", "c2", "c3"], c3=Outcome.FAIL), run_id="again"
    )
    assert sorted(p.name for p in root.glob("verdicts/V1/study=toy/*")) == before
    assert rows("bars", DAYS).height == chained.read("bars", DAYS).height
