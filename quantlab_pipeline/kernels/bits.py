"""Counting and finding the bits of a 64-bit word, each one machine instruction, in compiled code.

Belongs here: what numba does not offer by a public name. What the bits mean is their user's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

OnWord = Callable[[np.uint64], int]

_instruction: Any = intrinsic
ON_WORDS = types.int64(types.uint64)


def _count(_context: Any, _word: Any) -> Any:
    def emit(_target: Any, builder: Any, _signature: Any, words: Any) -> Any:
        return builder.ctpop(words[0])

    return ON_WORDS, emit


def _lowest(_context: Any, _word: Any) -> Any:
    def emit(target: Any, builder: Any, _signature: Any, words: Any) -> Any:
        return builder.cttz(words[0], target.get_constant(types.boolean, 0))

    return ON_WORDS, emit


def _highest(_context: Any, _word: Any) -> Any:
    def emit(target: Any, builder: Any, _signature: Any, words: Any) -> Any:
        above = builder.ctlz(words[0], target.get_constant(types.boolean, 0))
        return builder.sub(target.get_constant(types.int64, 63), above)

    return ON_WORDS, emit


count_bits: OnWord = _instruction(_count)
"""How many bits of a uint64 are set."""

lowest_bit: OnWord = _instruction(_lowest)
"""Place of the lowest set bit of a uint64, from 0; 64 if none is set."""

highest_bit: OnWord = _instruction(_highest)
"""Place of the highest set bit of a uint64, from 0; -1 if none is set."""
