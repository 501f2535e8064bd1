"""When the next request may go: a bucket of tokens that many threads share.

Belongs here: waiting before a request. How long to wait after a failed one is `http`'s matter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Sleep = Callable[[float], object]
"""Waits so many seconds; what it returns is ignored."""

Seconds = Callable[[], float]
"""A clock that never goes back, in seconds from anywhere: `time.monotonic`."""


class Pace:
    """At most `burst` requests at once and `per_s` a second in the long run.

    A request takes a token that may lie in the future, and waits until then: requests keep the
    order in which they came, and no lock is held while one waits.
    """

    def __init__(self, per_s: float, burst: int, *, sleep: Sleep, clock: Seconds) -> None:
        self._interval_s = 1.0 / per_s
        self._burst_s = (burst - 1) * self._interval_s
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        self._next_s = clock() - self._burst_s
        self._held_until_s = self._next_s

    def take(self) -> None:
        """Wait until one more request may go."""
        with self._lock:
            now_s = self._clock()
            due_s = max(self._next_s, now_s - self._burst_s)
            self._next_s = due_s + self._interval_s
            due_s = max(due_s, self._held_until_s)
        if due_s > now_s:
            self._sleep(due_s - now_s)

    def hold(self, for_s: float) -> None:
        """Let no new request go for `for_s` seconds: the server asked for quiet."""
        with self._lock:
            self._held_until_s = max(self._held_until_s, self._clock() + for_s)
