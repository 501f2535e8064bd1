"""Minute bars from the trades of a capture, for the minutes that it heard whole.

Belongs here: which minutes a capture spans, and the sums of their trades. A minute counts as heard
from its first instant to a second after its close: no silence of more than a minute, no lost
connection, no trade id missing in it. A heard minute without a trade is a bar with no volume at the
price of the last trade, while that is less than a day ago and everything since was heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US, TS, minute_grid, to_us
from quantlab_pipeline.research.market_data.trades import minute_bars
from quantlab_pipeline.sources.capture.offsets import Instants

SILENCE_US = MINUTE_US
SETTLE_US = 1_000_000
"""How long after its close a minute's last trade may still be on its way."""

_CARRIED = timedelta(days=1)
_TRADE: dict[str, Any] = {
    "traded": TS,
    "id": pl.Int64,
    "n": pl.Int64,
    "price": pl.Float64,
    "base": pl.Float64,
    "taker_buys": pl.Boolean,
    "market": pl.Boolean,
}


class Heard:
    """The stretches of time in which a leg was listened to, and the minutes that were broken."""

    def __init__(self) -> None:
        self._stretches: list[list[int]] = []
        self._broken: set[int] = set()

    def hear(self, known_us: Instants) -> None:
        """Messages came at these instants, in order."""
        if not known_us.size:
            return
        rests = np.flatnonzero(np.diff(known_us) > SILENCE_US) + 1
        for part in np.split(known_us, rests):
            first, last = int(part[0]), int(part[-1])
            if self._stretches and first - self._stretches[-1][1] <= SILENCE_US:
                self._stretches[-1][1] = max(self._stretches[-1][1], last)
            else:
                self._stretches.append([first, last])

    def heard_since(self, traded: datetime) -> None:
        """The first message of a stretch told of a trade at `traded`, just before it."""
        at = to_us(traded)
        for stretch in self._stretches[-1:]:
            if stretch[0] - SETTLE_US <= at < stretch[0]:
                stretch[0] = at

    def break_between(self, since_us: int, until_us: int) -> None:
        """Something was lost after `since_us` and before `until_us`."""
        self._broken.update(_touched(since_us, until_us))

    def minutes(self, days: Sequence[date], lost: Iterable[int] = ()) -> pl.Series:
        """Opens of the minutes of consecutive `days` that were heard whole.

        `lost` are further minutes (since 1970) in which something was lost.
        """
        opens = minute_grid(list(days)).dt.offset_by("-1m").dt.epoch("us").to_numpy()
        whole = np.zeros(opens.size, np.bool_)
        for first, last in self._stretches:
            whole |= (opens >= first) & (opens + MINUTE_US + SETTLE_US <= last)
        broken = np.array(sorted(self._broken.union(lost)), np.int64)
        whole &= ~np.isin(opens // MINUTE_US, broken)
        return pl.Series("open_ts", opens[whole]).cast(TS)


class MinuteTrades:
    """Sums one leg's trades by minute, holding only those of the last two minutes."""

    def __init__(self) -> None:
        self._open = pl.DataFrame(schema=_TRADE)
        self._done: list[pl.DataFrame] = []
        self._last: tuple[int, datetime] | None = None
        self.faults: Counter[datetime] = Counter()
        """Opens of minutes with trades that repeat, came too late, or never came; how many."""
        self.lost: set[int] = set()
        """Minutes (since 1970) in which a trade never came."""

    def days(self) -> set[date]:
        """Calendar days with a trade, once it is finished."""
        opens = pl.concat([_summed(self._open)["open_ts"], *(d["open_ts"] for d in self._done)])
        return set(opens.dt.date().unique())

    def take(self, rows: pl.DataFrame) -> None:
        """Add messages in the order of arrival; those off the market only count for their ids."""
        self._open = pl.concat([self._open, rows.select(list(_TRADE))])
        newest = self._open["traded"].max()
        if not isinstance(newest, datetime):
            return
        # Two minutes: a trade that was held up is still counted where it happened.
        until = newest.replace(second=0, microsecond=0) - MINUTE
        self._close(pl.col("traded") < until)

    def finish(self) -> None:
        """No more messages come. Only now is known everything that was lost."""
        self._close(pl.lit(value=True))

    def bars(self, minutes: pl.Series) -> pl.DataFrame:
        """RAW_BARS rows for the heard `minutes` (their opens, in order), once it is finished."""
        summed = pl.concat([_summed(self._open), *self._done])
        grid = minutes.to_frame().with_columns(
            (pl.col("open_ts").diff() != MINUTE).fill_null(value=True).cum_sum().alias("_stretch")
        )
        carried = pl.col("close").forward_fill().over("_stretch")
        since = (
            pl.when(pl.col("close").is_not_null()).then("open_ts").forward_fill().over("_stretch")
        )
        rows = grid.join(summed, on="open_ts", how="left", maintain_order="left").with_columns(
            pl.when(pl.col("open_ts") - since <= _CARRIED).then(carried).alias("close")
        )
        prices = [pl.col(c).fill_null(pl.col("close")) for c in ("open", "high", "low")]
        sums = [pl.col(c).fill_null(0) for c in ("volume_base", "volume_quote", "n_trades")]
        return rows.filter(pl.col("close").is_not_null()).select(
            "open_ts", *prices, "close", *sums, pl.col("taker_buy_base").fill_null(0)
        )

    def _close(self, ready: pl.Expr) -> None:
        rows = self._open.filter(ready)
        if rows.is_empty():
            return
        self._open = self._open.filter(~ready)
        once = rows.filter(pl.col("id").is_first_distinct()).sort("id")
        fresh = once if self._last is None else once.filter(pl.col("id") > self._last[0])
        known = rows.filter(~pl.col("id").is_first_distinct())
        self._fault(pl.concat([known, once.join(fresh, on="id", how="anti")])["traded"])
        if fresh.is_empty():
            return
        self._find_lost(fresh)
        self._done.append(_summed(fresh))
        self._last = (fresh["id"][-1], fresh["traded"][-1])

    def _fault(self, traded: pl.Series) -> None:
        counts = traded.dt.truncate("1m").value_counts()
        self.faults.update(dict(counts.iter_rows()))

    def _find_lost(self, fresh: pl.DataFrame) -> None:
        last_id, last_traded = self._last or (fresh["id"][0] - 1, fresh["traded"][0])
        steps = fresh.select(
            "traded",
            pl.col("traded").shift(1, fill_value=last_traded).alias("since"),
            (pl.col("id") - pl.col("id").shift(1, fill_value=last_id) - 1).alias("lost"),
        ).filter(pl.col("lost") > 0)
        for traded, since, lost in steps.iter_rows():
            self.lost.update(_touched(to_us(since), to_us(traded)))
            self.faults[traded.replace(second=0, microsecond=0)] += lost


def _touched(since_us: int, until_us: int) -> range:
    """The minutes (since 1970) that a stretch of time touches."""
    return range(since_us // MINUTE_US, until_us // MINUTE_US + 1)


def _summed(trades: pl.DataFrame) -> pl.DataFrame:
    """One row a minute, its trades in the order of their ids, those off the market left out."""
    rows = trades.filter("market").select(
        pl.col("traded").alias("ts"),
        "price",
        pl.col("base").alias("qty"),
        pl.col("n").alias("n_trades"),
        (~pl.col("taker_buys")).alias("is_buyer_maker"),
    )
    return minute_bars(rows)


def around(days: Sequence[date]) -> list[date]:
    """`days`, made consecutive, and the day before them, from which prices are carried."""
    first = min(days) - _CARRIED
    return [first + timedelta(days=i) for i in range((max(days) - first).days + 1)]
