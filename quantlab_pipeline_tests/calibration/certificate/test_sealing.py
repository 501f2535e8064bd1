"""The seal: seeds from code and nonce, the same bytes for the same, and no other truth behind."""

from __future__ import annotations

import hashlib
import json

import pytest

from quantlab_pipeline.calibration.certificate.sealing import (
    SHOWN,
    Plan,
    open_seal,
    require_nonce,
    seal,
    seed_of,
)
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.validation.bands import CalibrationBands
from quantlab_pipeline_tests.calibration.certificate.builders import CODE, NONCE

PLAN = Plan(6, 3, 1, 2)


def test_a_seed_is_the_hash_of_code_nonce_experiment_and_number() -> None:
    raw = hashlib.sha256(f"{CODE}|{NONCE}|world|3".encode()).digest()
    assert seed_of(CODE, NONCE, "world", 3) == int.from_bytes(raw[:8], "big") >> 1


def test_other_code_or_another_nonce_plants_other_worlds() -> None:
    first = seal(CODE, NONCE, PLAN)
    for other in (seal(f"{CODE}1", NONCE, PLAN), seal(CODE, f"{NONCE}0", PLAN)):
        assert not {w.seed for w in first.worlds} & {w.seed for w in other.worlds}
        assert first.digest() != other.digest()


def test_more_worlds_begin_with_the_same_ones() -> None:
    few, many = seal(CODE, NONCE, PLAN), seal(CODE, NONCE, Plan(9, 5, 1, 2))
    assert many.worlds[:6] == few.worlds
    assert many.size_seeds[:3] == few.size_seeds


def test_what_is_opened_is_what_was_sealed() -> None:
    secret = seal(CODE, NONCE, PLAN)
    assert open_seal(secret.to_json(), secret.digest()) == secret


def test_a_truth_that_was_changed_after_the_seal_is_refused() -> None:
    secret = seal(CODE, NONCE, PLAN)
    changed = json.loads(secret.to_json())
    changed["worlds"][0]["sides"]["power"] *= -1
    with pytest.raises(SpecError, match="not the one that was sealed"):
        open_seal(json.dumps(changed).encode(), secret.digest())


def test_names_tell_nothing_and_differ() -> None:
    worlds = seal(CODE, NONCE, PLAN).worlds
    names = [name for world in worlds for name in world.names.values()]
    assert len(set(names)) == len(worlds) * len(SHOWN)
    orders = {tuple(sorted(SHOWN, key=lambda s, w=world: w.names[s])) for world in worlds}
    assert len(orders) > 3


def test_edges_are_drawn_for_every_type_and_side() -> None:
    worlds = seal(CODE, NONCE, Plan(60, 0, 1, 1)).worlds
    assert {w.sides["power"] for w in worlds} == {1, -1}
    assert len({w.places["power"][0] for w in worlds}) > 15
    assert {bucket for w in worlds for _, bucket in w.places["regime"]} == {"all"}


@pytest.mark.parametrize("nonce", ["", "abc", "xyz" * 10, "0011 2233 4455 6677"])
def test_a_bad_nonce_is_refused(nonce: str) -> None:
    with pytest.raises(SpecError, match="is no nonce"):
        require_nonce(nonce)


def test_a_nonce_is_one_in_either_case() -> None:
    assert require_nonce(NONCE.upper()) == NONCE


def test_a_smaller_plan_keeps_its_proportions() -> None:
    bands = CalibrationBands()
    assert Plan.of(bands) == Plan(200, 800, 4, 24)
    assert Plan.of(bands, 12) == Plan(12, 48, 4, 12)
    assert Plan.of(bands, 2) == Plan(2, 8, 2, 2)
    with pytest.raises(SpecError, match="no standard error"):
        Plan.of(bands, 1)
