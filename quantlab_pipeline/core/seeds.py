"""Randomness as a parameter: one seed a run, children derived by name.

Two children with different names are independent; the same name gives the same numbers on every
machine and in any order of calls.
"""

from __future__ import annotations

import hashlib

import numpy as np

from quantlab_pipeline.core.fingerprints import canonical_bytes


def child_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the child `names` of `seed`."""
    raw = hashlib.sha256(canonical_bytes([seed, *names])).digest()
    return int.from_bytes(raw[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A PCG64 generator for the child `names` of `seed`."""
    return np.random.Generator(np.random.PCG64(child_seed(seed, *names)))
