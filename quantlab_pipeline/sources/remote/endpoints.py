"""The endpoints of Binance's REST interface that give the archive's series: what each may be asked.

Belongs here: paths, parameters, sizes and costs, and how a day becomes the span of a request. What
an answer looks like is `pages`' matter, when it is asked for is `binance_rest`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from quantlab_pipeline.core.clocks import MINUTE, day_end, day_start, to_us
from quantlab_pipeline.research.market_data.funding import MAX_JITTER
from quantlab_pipeline.research.market_data.open_interest import BUCKET
from quantlab_pipeline.sources.archive.layout import (
    FUNDING,
    INDEX,
    KLINES,
    MARK,
    METRICS,
    PREMIUM,
    SPOT,
    UM,
)
from quantlab_pipeline.sources.remote.limits import Window

MILLISECOND = timedelta(milliseconds=1)

WEIGHT, FUNDING_CALLS, DATA_CALLS = "weight_1m", "funding_calls_5m", "data_calls_5m"
_USED = "x-mbx-used-weight-1m"
WINDOWS: dict[str, tuple[Window, ...]] = {
    UM: (
        Window(WEIGHT, 2400, 60.0, _USED),
        Window(FUNDING_CALLS, 500, 300.0),
        Window(DATA_CALLS, 1000, 300.0),
    ),
    SPOT: (Window(WEIGHT, 6000, 60.0, _USED),),
}
"""What one address may ask of each host. The weights per minute are `exchangeInfo`'s `rateLimits`;
the calls are on the pages of the endpoints, see ENDPOINTS."""

Span = tuple[int, int]
"""First and last instant, both included, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One list of rows: its path, its parameters, and how a day is asked of it.

    `page_rows` is the most that a page may hold, `step` the least time between two rows. A day's
    span begins `before` its first midnight and ends `after` its second, by the archive's stamps;
    the venue's own lie `stamp_lag` later. `stamp` is the column that holds them. `cost` is what a
    full page takes of a window; candles cost by the page's size.
    """

    name: str
    path: str
    fixed: Mapping[str, str]
    page_rows: int
    step: timedelta
    stamp: str = "open_time"
    symbol_as: str = "symbol"
    before: timedelta = timedelta()
    after: timedelta = -MILLISECOND
    stamp_lag: timedelta = timedelta()
    cost: tuple[str, int] | None = None

    def span(self, day: date) -> Span:
        """What is asked for to have all rows of `day`."""
        return to_us(day_start(day) - self.before) // 1000, to_us(day_end(day) + self.after) // 1000

    def query(self, symbol: str, span: Span, rows: int) -> str:
        """The query of one page."""
        lag_ms = self.stamp_lag // MILLISECOND
        asked = {"startTime": span[0] + lag_ms, "endTime": span[1] + lag_ms, "limit": rows}
        return urlencode({self.symbol_as: symbol, **self.fixed, **asked})

    def costs(self, rows: int) -> dict[str, int]:
        """Units that a page of `rows` rows takes of each window."""
        if self.cost is not None:
            return dict([self.cost])
        return {WEIGHT: 1 if rows < 100 else 2 if rows < 500 else 5 if rows <= 1000 else 10}

    def left(self, span: Span, stamps: Sequence[int]) -> list[Span]:
        """What of `span` a page with these stamps did not answer: before its first, after its last.

        Nothing, if it holds none. A page may be cut at either end and be out of order, but what it
        holds must be all between its first and its last: so of open interest a day fits on one.
        """
        if not stamps:
            return []
        step_ms = self.step // MILLISECOND
        rest = []
        if span[1] - max(stamps) >= step_ms:
            rest.append((max(stamps) + 1, span[1]))
        if min(stamps) - span[0] >= step_ms:
            rest.append((span[0], min(stamps) - 1))
        return rest


def _candles(name: str, symbol_as: str = "symbol") -> Endpoint:
    path, fixed = f"/fapi/v1/{name}", {"interval": "1m"}
    return Endpoint(name, path, fixed, 1500, MINUTE, symbol_as=symbol_as)


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    (UM, KLINES): _candles("klines"),
    (UM, MARK): _candles("markPriceKlines"),
    (UM, INDEX): _candles("indexPriceKlines", symbol_as="pair"),
    (UM, PREMIUM): _candles("premiumIndexKlines"),
    (UM, FUNDING): Endpoint(
        "fundingRate",
        "/fapi/v1/fundingRate",
        {},
        1000,
        timedelta(hours=1),
        stamp="calc_time",
        before=MAX_JITTER,
        after=MAX_JITTER,
        cost=(FUNDING_CALLS, 1),
    ),
    (UM, METRICS): Endpoint(
        "openInterestHist",
        "/futures/data/openInterestHist",
        {"period": "5m"},
        500,
        BUCKET,
        stamp="create_time",
        after=timedelta(seconds=1) - BUCKET,
        stamp_lag=BUCKET,
        cost=(DATA_CALLS, 1),
    ),
    (SPOT, KLINES): Endpoint(
        "spotKlines", "/api/v3/klines", {"interval": "1m"}, 1000, MINUTE, cost=(WEIGHT, 2)
    ),
}
"""Endpoints by the archive's series. Each limit is on the endpoint's page under
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/
(Kline-Candlestick-Data and its three kin: 1500 rows, weight 1, 2, 5, 10 by size;
Get-Funding-Rate-History: 1000 rows, 500 calls in 5 min with fundingInfo;
Open-Interest-Statistics: 500 rows, weight 0, 1000 calls in 5 min, the last 30 days), for spot under
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
(klines: 1000 rows, weight 2). A day of funding begins with the settlement at its first midnight,
which tells the next one's interval."""
