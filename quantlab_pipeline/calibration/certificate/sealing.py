"""What is planted where, decided before a market exists, and its seal.

Belongs here: the plan, the seeds, the random names under which markets are shown, and the canonical
bytes of the truth. Who judges sees a market under its random name, and nothing of this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantlab_pipeline.calibration.certificate.bench import EVENT_TYPES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest_bytes
from quantlab_pipeline.core.seeds import child_seed, generator
from quantlab_pipeline.research.validation.bands import CalibrationBands

HORIZON = "1h"
"""How long an edge lasts after its entry, but for those of `MDE_HORIZONS`."""

MDE_HORIZONS = {"mde": HORIZON, "mde_day": "24h"}
"""Edges of the reported MDE80: over an hour, and over a day, where events overlap and the contrast
keeps little of an effect."""

TEMPLATE = "directional"
BUCKETS = ("all", "vol_high", "liq_low")
IN_BUCKETS = ("power", "mde")
"""Buckets that these edges may be planted in; which of them have events enough, a market shows. The
others are planted in all of a type's events."""

MIN_NONCE = 16
_HEX = frozenset("0123456789abcdef")

SHOWN = ("null", "planted", "planted_free", "drift", *MDE_HORIZONS, "regime", "twin")
EDGES = ("power", *MDE_HORIZONS, "regime")
"""The shapes in which a market is shown: untouched and free of costs; with an edge; the same free
of costs; with a drift that is no edge; with an edge of the reported MDE; with an edge in turbulent
markets alone; with the same edge everywhere."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many markets: judged whole, for the tail of the size alone, copied, shown to mutants.

    Copied ones and those for mutants are the first of `worlds`.
    """

    worlds: int
    size_worlds: int
    copied_worlds: int
    mutant_worlds: int

    @classmethod
    def of(cls, bands: CalibrationBands, worlds: int | None = None) -> Plan:
        """The full plan, or one of `worlds`, with the markets of the tail in proportion.

        SpecError below two, which have no standard error.
        """
        k = bands.worlds if worlds is None else worlds
        if k < 2:
            raise SpecError(f"{k} worlds have no standard error.", "Ask for at least 2.", worlds=k)
        return cls(
            worlds=k,
            size_worlds=round(bands.size_worlds * k / bands.worlds),
            copied_worlds=min(k, bands.copied_worlds),
            mutant_worlds=min(k, bands.mutant_worlds),
        )


@dataclass(frozen=True, slots=True)
class Secret:
    """The truth of one market before it is drawn: its seed, and where and to which side edges go.

    `names` maps a shape to the random name under which it is shown. `places` lists for each of
    `EDGES` (event type, bucket) in the order of preference: the first with events enough is taken.
    """

    number: int
    seed: int
    names: Mapping[str, str]
    places: Mapping[str, tuple[tuple[str, str], ...]]
    sides: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """All secrets of a run: `worlds` in their order, `size_seeds` of the null markets beside."""

    code: str
    nonce: str
    worlds: tuple[Secret, ...]
    size_seeds: tuple[int, ...]

    def to_json(self) -> bytes:
        """Canonical bytes, as they are sealed."""
        return canonical_bytes(asdict(self))

    def digest(self) -> str:
        """Tagged SHA-256 of `to_json`: published before the run."""
        return digest_bytes(self.to_json())


def seal(code: str, nonce: str, plan: Plan) -> Sealed:
    """Draw every secret of a run. Same code, nonce and plan, same bytes."""
    worlds = tuple(_secret(code, nonce, k) for k in range(plan.worlds))
    sizes = tuple(seed_of(code, nonce, "size", k) for k in range(plan.size_worlds))
    return Sealed(code, nonce, worlds, sizes)


def open_seal(data: bytes, digest: str) -> Sealed:
    """The secrets whose canonical bytes are `data`. SpecError if they are not those of `digest`."""
    if digest_bytes(data) != digest:
        raise SpecError(
            "The opened truth is not the one that was sealed before the run.",
            "Run the certificate anew.",
            sealed=digest,
            opened=digest_bytes(data),
        )
    raw = json.loads(data)
    worlds = tuple(_opened(world) for world in raw["worlds"])
    return Sealed(raw["code"], raw["nonce"], worlds, tuple(raw["size_seeds"]))


def seed_of(code: str, nonce: str, experiment: str, number: int) -> int:
    """Seed of a market: SHA-256 of code, nonce, experiment and number, 63 bits of it."""
    raw = hashlib.sha256("|".join((code, nonce, experiment, str(number))).encode()).digest()
    return int.from_bytes(raw[:8], "big") >> 1


def require_nonce(nonce: str) -> str:
    """`nonce` in lower case. SpecError if it is not so many hexadecimal digits."""
    told = nonce.lower()
    if len(told) < MIN_NONCE or not set(told) <= _HEX:
        raise SpecError(
            f"{nonce!r} is no nonce.",
            f"Give at least {MIN_NONCE} hexadecimal digits, or leave it out for a fresh one.",
            nonce=nonce,
        )
    return told


def _secret(code: str, nonce: str, number: int) -> Secret:
    seed = seed_of(code, nonce, "world", number)
    names = {shape: f"{child_seed(seed, 'name', shape):016x}" for shape in SHOWN}
    every = [(name, bucket) for name in EVENT_TYPES for bucket in BUCKETS]
    whole = [(name, "all") for name in EVENT_TYPES]
    draw = generator(seed, "sides")
    sides = {edge: int(draw.integers(2)) * 2 - 1 for edge in EDGES}
    places = {edge: _shuffled(seed, edge, every if edge in IN_BUCKETS else whole) for edge in EDGES}
    return Secret(number, seed, names, places, sides)


def _shuffled(
    seed: int, name: str, places: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    order = generator(seed, "order", name).permutation(len(places))
    return tuple(places[int(k)] for k in order)


def _opened(raw: dict[str, Any]) -> Secret:
    places = {edge: _pairs(listed) for edge, listed in raw["places"].items()}
    return Secret(**{**raw, "places": places})


def _pairs(raw: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a, b in raw)
