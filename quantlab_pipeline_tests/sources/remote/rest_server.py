"""Binance's REST interface as documented, over rows in memory: spans, limits, weights, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import polars as pl

from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.remote.binance_rest import BinanceRest, RestSettings
from quantlab_pipeline.sources.remote.http import HttpClient, HttpSettings
from quantlab_pipeline_tests.sources.remote.server import Answer, Fault, LocalServer, Request

SECONDS_5M = 300_000
PATHS = {
    "klines": "/fapi/v1/klines",
    "markPriceKlines": "/fapi/v1/markPriceKlines",
    "indexPriceKlines": "/fapi/v1/indexPriceKlines",
    "premiumIndexKlines": "/fapi/v1/premiumIndexKlines",
    "fundingRate": "/fapi/v1/fundingRate",
    "openInterestHist": "/futures/data/openInterestHist",
    "spotKlines": "/api/v3/klines",
}
MOST_ROWS = {"fundingRate": 1000, "openInterestHist": 500, "spotKlines": 1000}


class RestVenue:
    """Rows by endpoint and symbol, `(stamp in ms, element)` in the order in which they are sent.

    `cap` is a limit below the documented one; with `newest` a page that is cut keeps its last rows,
    not its first. `used` is the weight so far, said in every answer. `faults` are played once each.
    """

    def __init__(self, cap: int | None = None, *, newest: bool = False) -> None:
        self.rows: dict[tuple[str, str], list[tuple[int, object]]] = {}
        self.cap, self.newest = cap, newest
        self.used = 0
        self.faults: list[Fault] = []

    def serve(self, endpoint: str, symbol: str, rows: list[tuple[int, object]]) -> None:
        """Have `rows` at an endpoint."""
        self.rows[PATHS[endpoint], symbol] = rows

    def __call__(self, request: Request) -> Answer:
        endpoint = next((e for e, path in PATHS.items() if path == request.path), None)
        if endpoint is None:
            return Answer(404, {}, b"<html>not found</html>")
        self.used += weight(endpoint, int(request.query["limit"]))
        answer = self._rows(endpoint, request)
        if self.faults:
            answer = self.faults.pop(0)(request, answer)
        return answer

    def _rows(self, endpoint: str, request: Request) -> Answer:
        query = request.query
        symbol = query["pair" if endpoint == "indexPriceKlines" else "symbol"]
        headers = {"X-MBX-USED-WEIGHT-1M": str(self.used), "Content-Type": "application/json"}
        if (request.path, symbol) not in self.rows:
            return Answer(400, headers, json.dumps(INVALID_SYMBOL).encode())
        period = "period" if endpoint == "openInterestHist" else "interval"
        if endpoint != "fundingRate" and query.get(period) not in {"1m", "5m"}:
            return Answer(400, headers, b'{"code":-1120,"msg":"Invalid interval."}')
        first, last = int(query["startTime"]), int(query["endTime"])
        found = [row for at, row in self.rows[request.path, symbol] if first <= at <= last]
        most = min(int(query["limit"]), MOST_ROWS.get(endpoint, 1500), self.cap or 10**9)
        page = found[-most:] if self.newest else found[:most]
        return Answer(200, headers, json.dumps(page).encode())


INVALID_SYMBOL = {"code": -1121, "msg": "Invalid symbol."}


def weight(endpoint: str, limit: int) -> int:
    """The documented weight of a request."""
    if endpoint in {"fundingRate", "openInterestHist"}:
        return 0
    if endpoint == "spotKlines":
        return 2
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def candle_rows(frame: pl.DataFrame) -> list[tuple[int, object]]:
    """Archive candles (ms) as the interface sends them: prices and volumes are text."""
    whole = {"open_time", "close_time", "count"}
    return [
        (row["open_time"], [row[c] if c in whole else str(row[c]) for c in codec.KLINE_COLUMNS])
        for row in frame.iter_rows(named=True)
    ]


def funding_rows(frame: pl.DataFrame, symbol: str) -> list[tuple[int, object]]:
    """Archive settlements as the interface sends them: without an interval, with a mark price."""
    return [
        (
            row["calc_time"],
            {
                "symbol": symbol,
                "fundingTime": row["calc_time"],
                "fundingRate": str(row["last_funding_rate"]),
                "markPrice": "1.0",
            },
        )
        for row in frame.iter_rows(named=True)
    ]


def interest_rows(frame: pl.DataFrame, symbol: str) -> list[tuple[int, object]]:
    """Archive metrics as the interface sends them: stamped at the end of the five minutes."""
    rows = []
    for row in frame.iter_rows(named=True):
        start = datetime.fromisoformat(f"{row['create_time']}+00:00")
        end = int(start.timestamp() * 1000) + SECONDS_5M
        rows.append(
            (
                end,
                {
                    "symbol": symbol,
                    "sumOpenInterest": str(row["sum_open_interest"]),
                    "sumOpenInterestValue": str(row["sum_open_interest_value"]),
                    "CMCCirculatingSupply": "165880.538",
                    "timestamp": end,
                },
            )
        )
    return rows


class Watch:
    """Seconds that pass only in sleep, which is remembered."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now_s += seconds


@contextmanager
def rest_of(
    venue: RestVenue, now: datetime, watch: Watch | None = None, **settings
) -> Iterator[tuple[BinanceRest, LocalServer]]:
    """A client of `venue` at the instant `now`, and the server with what it was asked."""
    time = watch or Watch()
    http_settings = HttpSettings(max_attempts=3, requests_per_s=1e6, burst=10**6)
    with (
        LocalServer(venue) as server,
        HttpClient(
            http_settings, sleep=time.sleep, clock=time, jitter=lambda: 0.5, environment={}
        ) as http,
    ):
        asked = RestSettings(um_url=server.url, spot_url=server.url, **settings)
        yield (
            BinanceRest(http, clock=lambda: now, seconds=time, sleep=time.sleep, settings=asked),
            server,
        )
