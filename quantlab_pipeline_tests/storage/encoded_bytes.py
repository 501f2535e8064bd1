"""Prints the digest of a frame's parquet bytes; run under different POLARS_MAX_THREADS."""

from __future__ import annotations

import numpy as np
import polars as pl

from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline.storage.writing import encode_parquet

N = 300_000

if __name__ == "__main__":
    at = np.arange(N)
    frame = pl.DataFrame({"x": np.sin(at), "k": at % 7, "s": np.where(at % 3 == 0, "a", "bb")})
    chunks = [frame[i : i + 7_777] for i in range(0, N, 7_777)]
    whole = pl.concat(chunks, rechunk=False)
    print(digest_bytes(encode_parquet(whole.with_columns(y=pl.col("x") * 2))))
