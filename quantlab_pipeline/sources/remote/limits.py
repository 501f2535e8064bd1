"""What a venue lets one address ask: budgets per host, kept by count and by the venue's own word.

Belongs here: windows, their use, and the waiting before one is full. What a request costs is the
endpoint's matter; how often an address may knock at all is `pace`'s, and what follows a 429 is
`http`'s, which waits as long as it was told.

Binance counts a request's weight per minute and address, says in X-MBX-USED-WEIGHT-1M how much of
it is used, answers 429 past the limit and 418 to who goes on after that (2 minutes to 3 days):
https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info and
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from quantlab_pipeline.sources.remote.http import BANNED, BannedError
from quantlab_pipeline.sources.remote.pace import Seconds, Sleep

SHARE = 0.8
"""Part of every limit that we use: other programs of the same address need the rest."""

_SHORTEST_WAIT_S = 0.001


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` units in any `seconds`; `header`, in lower case, says how many are used."""

    name: str
    limit: int
    seconds: float
    header: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one host was asked so far: requests, units spent per window, and time spent waiting.

    `used` is what counts now in each window, by the venue's word where it gave one.
    """

    host: str
    requests: int
    spent: Mapping[str, int]
    used: Mapping[str, int]
    waits: int
    waited_s: float


class Budget:
    """One host's windows, shared by all who ask it. `share` of each limit is used, never more.

    The count is of a sliding window, so that no fixed one of the venue's can hold more. A used
    weight that the venue states replaces the count: other programs are part of it.
    """

    def __init__(
        self,
        host: str,
        windows: Sequence[Window],
        *,
        clock: Seconds,
        sleep: Sleep,
        share: float = SHARE,
    ) -> None:
        self._host, self._share = host, share
        self._clock, self._sleep = clock, sleep
        self._windows = {w.name: w for w in windows}
        self._logs: dict[str, deque[tuple[float, int]]] = {w.name: deque() for w in windows}
        self._spent = dict.fromkeys(self._windows, 0)
        self._requests = self._waits = 0
        self._waited_s = 0.0
        self._banned = False
        self._lock = threading.Lock()

    @contextmanager
    def request(self, costs: Mapping[str, int]) -> Iterator[None]:
        """Around one request of `costs` units by window: waits until every window has room.

        BannedError if the venue banned this address, now or before: nothing more is asked of it.
        """
        self._take(costs)
        try:
            yield
        except BannedError:
            with self._lock:
                self._banned = True
            raise

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take the venue's word for what is used, from the headers (lower case) of an answer."""
        with self._lock:
            now_s = self._clock()
            for window in self._windows.values():
                stated = headers.get(window.header or "", "").strip()
                if stated.isascii() and stated.isdigit():
                    self._logs[window.name] = deque([(now_s, int(stated))])

    def usage(self) -> Usage:
        """What was asked so far, and what counts now."""
        with self._lock:
            now_s = self._clock()
            used = {name: self._used(name, now_s) for name in self._windows}
            return Usage(
                self._host, self._requests, dict(self._spent), used, self._waits, self._waited_s
            )

    def _take(self, costs: Mapping[str, int]) -> None:
        waited = False
        while True:
            with self._lock:
                if self._banned:
                    raise self._ban()
                now_s = self._clock()
                wait_s = max((self._wait_s(n, c, now_s) for n, c in costs.items()), default=0.0)
                if wait_s <= 0:
                    self._book(costs, now_s)
                    return
                self._waits += not waited
                self._waited_s += wait_s
            waited = True
            self._sleep(wait_s)

    def _book(self, costs: Mapping[str, int], now_s: float) -> None:
        self._requests += 1
        for name, cost in costs.items():
            self._logs[name].append((now_s, cost))
            self._spent[name] += cost

    def _used(self, name: str, now_s: float) -> int:
        log, horizon_s = self._logs[name], now_s - self._windows[name].seconds
        while log and log[0][0] <= horizon_s:
            log.popleft()
        return sum(cost for _, cost in log)

    def _wait_s(self, name: str, cost: int, now_s: float) -> float:
        """Seconds until `cost` fits into a window; 0 if it does, or if nothing else is in it."""
        excess = self._used(name, now_s) + cost - int(self._windows[name].limit * self._share)
        leaves_s = 0.0
        for at_s, gone in self._logs[name]:
            if excess <= 0:
                break
            excess -= gone
            leaves_s = max(_SHORTEST_WAIT_S, at_s + self._windows[name].seconds - now_s)
        return leaves_s

    def _ban(self) -> BannedError:
        return BannedError(
            f"{self._host} has banned this address ({BANNED}), and nothing more is asked of it.",
            "Wait, from 2 minutes up to 3 days, then run again: what was landed stays.",
            host=self._host,
            status=BANNED,
        )


_BUDGETS: dict[str, Budget] = {}
_BUDGETS_LOCK = threading.Lock()


def shared_budget(host: str, windows: Sequence[Window], *, clock: Seconds, sleep: Sleep) -> Budget:
    """The process's one budget of `host`: whoever asks first makes it, all others share it."""
    with _BUDGETS_LOCK:
        if host not in _BUDGETS:
            _BUDGETS[host] = Budget(host, windows, clock=clock, sleep=sleep)
        return _BUDGETS[host]
