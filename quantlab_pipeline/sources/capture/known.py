"""When a message could be known: the one stamp that a row made from it may carry.

It could be known when it came. The recorder's clock says when that was, but a clock that runs
behind the venue would put knowledge before the event. So the instant is the later of

- the local stamp, moved forward by as much as the clock is behind: the median of (local - venue)
  in that minute, where negative, over the messages that have an event time;
- the venue's event time, where the message has one.

It is never earlier than the local stamp, nor than that of a message that came before. A leg without
event times takes the minute's median of the other leg, which the same machine recorded, and a
minute without any the last one measured in its hour: nothing reaches further, so that a day's
stamps do not depend on which days are read with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.sources.capture.offsets import Instants, MinuteOffset


def delays(own: Sequence[MinuteOffset], other: Sequence[MinuteOffset]) -> pl.DataFrame:
    """How far behind the clock is: `minute` (local, its start), `behind_us` (at least 0).

    `own` are the leg's medians, `other` those of the other leg. Hours without a measurement have no
    row.
    """
    measured = _frame(own, "own").join(
        _frame(other, "other"), on="minute", how="full", coalesce=True
    )
    hours = measured.select(pl.col("minute").dt.truncate("1h").alias("hour")).unique().sort("hour")
    grid = hours.select(
        "hour",
        pl.datetime_ranges("hour", pl.col("hour").dt.offset_by("59m"), MINUTE).alias("minute"),
    ).explode("minute")
    median = pl.coalesce("own", "other").forward_fill().over("hour")
    return (
        grid.join(measured, on="minute", how="left", maintain_order="left")
        .with_columns(median.fill_null(0).alias("median"))
        .select("minute", (-pl.col("median")).clip(0).mul(1000).alias("behind_us"))
    )


def _frame(medians: Sequence[MinuteOffset], name: str) -> pl.DataFrame:
    rows = [(m.minute_us, m.median_ms) for m in medians]
    frame = pl.DataFrame(rows, schema={"minute": pl.Int64, name: pl.Int64}, orient="row")
    return frame.with_columns(pl.col("minute").cast(TS))


class Knowledge:
    """Stamps one leg's messages, which come in pieces and in the order of arrival."""

    def __init__(self, delays_: pl.DataFrame) -> None:
        self._delays = delays_
        self._last_local = self._last_known = np.iinfo(np.int64).min

    def known(self, local: pl.Series) -> Instants:
        """When messages with these stamps came, by a clock that is not behind; microseconds.

        Never earlier than for a message before, unless the clock itself was set back.
        """
        minutes = local.to_frame("local").select(
            "local", pl.col("local").dt.truncate("1m").alias("minute")
        )
        joined = minutes.join(self._delays, on="minute", how="left", maintain_order="left")
        at = joined["local"].dt.epoch("us").to_numpy()
        shifted = at + joined["behind_us"].fill_null(0).to_numpy()
        return self._in_order(at, shifted) if at.size else shifted

    def _in_order(self, at: Instants, shifted: Instants) -> Instants:
        known = shifted.copy()
        if at[0] >= self._last_local:
            known[0] = max(known[0], self._last_known)
        set_back = np.flatnonzero(np.diff(at) < 0) + 1
        for part in np.split(known, set_back):
            np.maximum.accumulate(part, out=part)
        self._last_local, self._last_known = int(at[-1]), int(known[-1])
        return known

    def stamped(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` (with `local` and `event`) and `ts`, when each could be known."""
        known = pl.Series("known", self.known(rows["local"])).cast(TS)
        return rows.with_columns(pl.max_horizontal(known, "event").alias("ts"))
