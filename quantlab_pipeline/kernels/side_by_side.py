"""Rows shared out among threads, for kernels that let go of the interpreter.

Belongs here: cutting the work. Each row is made by one call whatever the number of threads, so that
results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def rows_side_by_side(
    work: Callable[[slice], None], n: int, threads: int, parts_each: int = 4
) -> None:
    """`work` on slices that make up range(n), by `threads` threads; the first error is raised.

    Each thread has about `parts_each` slices in turn, so that none waits long for the slowest.
    """
    parts = min(n, parts_each * threads)
    if threads < 2 or parts < 2:
        work(slice(0, n))
        return
    cuts = [n * i // parts for i in range(parts + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, [slice(a, b) for a, b in pairwise(cuts)]):
            pass
