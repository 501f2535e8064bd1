"""How much two sets of bits share: the likest earlier one of every set.

Belongs here: counting on packed words. What a bit stands for is the caller's matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.bits import count_bits

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]


@njit(cache=True)
def likest_earlier(words: WordArray, order: IntArray) -> tuple[FloatArray, IntArray]:
    """Largest Jaccard index of each set with any before it in `order`, and that set's row.

    `words` uint64[C, W] are C sets of 64 W possible members; `order` int64[C] lists each row once.
    Of equals the earliest counts; (0, -1) where no earlier set shares a member. Both results [C] by
    row. O(C^2 W). Oracle: `likeness` of the tests, through `likest_better`.
    """
    n_sets, n_words = words.shape
    size = np.zeros(n_sets, np.int64)
    for row in range(n_sets):
        for w in range(n_words):
            size[row] += count_bits(words[row, w])
    likeness = np.zeros(n_sets)
    likest = np.full(n_sets, -1, np.int64)
    for place in range(1, n_sets):
        row = order[place]
        for before in range(place):
            other = order[before]
            # The smaller over the larger bounds the index: most pairs need no look.
            few, many = size[row], size[other]
            if few > many:
                few, many = many, few
            if many == 0 or few / many <= likeness[row]:
                continue
            shared = 0
            for w in range(n_words):
                shared += count_bits(words[row, w] & words[other, w])
            index = shared / (few + many - shared)
            if index > likeness[row]:
                likeness[row], likest[row] = index, other
    return likeness, likest
