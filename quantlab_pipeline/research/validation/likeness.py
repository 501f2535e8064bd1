"""How alike candidates of one event type are: the share of signed events that two of them trade.

Belongs here: sets of events, their Jaccard index, and the score that it lowers. Not here: which
events a candidate trades (`cells`), or a verdict, which reads none of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]

_WORD_BITS = 64


def likest_better(signed: SignArray, order: IntArray) -> tuple[FloatArray, IntArray]:
    """Largest Jaccard index of each candidate's signed events with those of any better one.

    `signed` int8[C, m]: the position that candidate c takes at event e, +1, -1 or 0 (not traded);
    a long and a short at the same event share nothing. `order` [C] lists candidates from the best.
    The index [C] and the row of that candidate [C], the best of equals; (0, -1) where nothing is
    shared.
    """
    from quantlab_pipeline.kernels.set_overlap import likest_earlier

    longs_and_shorts = np.concatenate([signed > 0, signed < 0], axis=1)
    spare = -longs_and_shorts.shape[1] % _WORD_BITS
    padded = np.pad(longs_and_shorts, ((0, 0), (0, spare)))
    words = np.packbits(padded, axis=1).view(np.uint64)
    return likest_earlier(words, order)


def penalised(z: FloatArray, likeness: FloatArray, similar_from: float, share: float) -> FloatArray:
    """Score of each candidate, [K]: z, less `share` x likeness x |z| where it is similar.

    Similar is one whose `likeness` to a better candidate is `similar_from` or more.
    """
    return z - np.where(likeness >= similar_from, share * likeness * np.abs(z), 0.0)
