"""A polite HTTP client: few connections, a pace, retries that wait, downloads that go on.

Belongs here: what holds for any server. What an answer means is its reader's matter: 404 and every
other refusal that a retry cannot mend is a value here, but for 418, with which Binance bans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.remote.pace import Pace, Seconds, Sleep
from quantlab_pipeline.sources.remote.part import BrokenPartError, Part

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

T = TypeVar("T")
SWITCH = "DATA_REMOTE_PROVIDERS"
"""The environment variable that forbids every remote call when it says `disabled`."""

BANNED, TOO_MANY = 418, 429
_RETRIED = frozenset({408, 425, TOO_MANY})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GAIN_BYTES = 1 << 20
"""A download that gained so much before it broke begins to count its attempts anew."""


class RemoteError(SourceError):
    """A server cannot be reached, refuses, or sends what cannot be used. Fields: url, status."""


class RemoteDisabledError(RemoteError):
    """Remote calls are switched off by the environment."""


class BannedError(RemoteError):
    """The server banned this address (418). Asking again would only lengthen it."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How patient and how polite: seconds, attempts at one request, connections, requests a second.

    The wait before attempt n is random between 0 and the smaller of `backoff_ceiling_s` and
    `backoff_base_s` x 2^(n-2). A Retry-After longer than `longest_wait_s` ends the request. Until a
    server has answered once, patience ends after `first_attempts`: there may be no network.
    """

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    max_attempts: int = 7
    first_attempts: int = 3
    backoff_base_s: float = 0.5
    backoff_ceiling_s: float = 30.0
    longest_wait_s: float = 300.0
    connections: int = 8
    requests_per_s: float = 40.0
    burst: int = 20
    max_redirects: int = 5
    user_agent: str = "quantlab"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower-case; `url` is the one that answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Download:
    """How a download ended: 200 is a whole file on disk, anything else left the disk alone.

    `received` counts the bytes that came over the wire, `resumed_at` those that were there before.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    received: int = 0
    resumed_at: int = 0


class _FailedAttemptError(Exception):
    """One attempt failed in a way that another may mend."""

    def __init__(self, problem: str, status: int | None = None, after_s: float = 0.0) -> None:
        super().__init__(problem)
        self.status, self.after_s = status, after_s


def remote_disabled(environment: Mapping[str, str]) -> bool:
    """Whether the environment forbids remote calls."""
    return environment.get(SWITCH, "").strip().lower() == "disabled"


def require_remote(environment: Mapping[str, str]) -> None:
    """RemoteDisabledError if the environment forbids remote calls."""
    if remote_disabled(environment):
        raise RemoteDisabledError(
            f"Remote calls are switched off: {SWITCH} is `disabled`.",
            f"Unset {SWITCH} to allow them.",
            variable=SWITCH,
        )


class HttpClient:
    """GET requests to any server, for many threads at once.

    `sleep` waits seconds, `clock` is monotonic seconds, `jitter` gives uniform numbers in [0, 1).
    `environment` is asked before every request whether remote calls are allowed.
    """

    def __init__(
        self,
        settings: HttpSettings,
        *,
        sleep: Sleep,
        clock: Seconds,
        jitter: Callable[[], float],
        environment: Mapping[str, str],
    ) -> None:
        import httpx

        self._settings, self._environment = settings, environment
        self._sleep, self._jitter = sleep, jitter
        self._answered = False
        self._pace = Pace(settings.requests_per_s, settings.burst, sleep=sleep, clock=clock)
        self._client = httpx.Client(
            timeout=httpx.Timeout(
                settings.read_timeout_s, connect=settings.connect_timeout_s, pool=None
            ),
            limits=httpx.Limits(
                max_connections=settings.connections,
                max_keepalive_connections=settings.connections,
            ),
            headers={"User-Agent": settings.user_agent},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def get(self, url: str, params: Mapping[str, str | int] | None = None) -> Response:
        """The whole answer, any status that a retry cannot mend included, held in memory.

        RemoteError after the last attempt; BannedError at once for 418.
        """

        def whole(response: httpx.Response) -> Response:
            body = response.read()
            return Response(response.status_code, _headers(response), body, str(response.url))

        full = str(self._url(url).copy_merge_params(dict(params or {})))
        return self._persist(full, lambda: self._exchange(full, {}, whole), lambda _: False)

    def download(
        self, url: str, path: Path, on_bytes: Callable[[int], None] = lambda _: None
    ) -> Download:
        """The answer's body into the file `path`, going on behind what lies there already.

        The bytes that lie there must be the head of what `url` now holds: the caller names partial
        files so, and checks the whole. `on_bytes` hears of each gain, and of a loss where the head
        had to be thrown away. Any status but 200 and 206 leaves `path` alone and is returned.
        RemoteError after the last attempt, the file keeping what came; BannedError for 418.
        """
        part = Part(path, on_bytes)
        resumed_at = part.size

        def stored(response: httpx.Response) -> Download:
            headers, status = _headers(response), response.status_code
            # As they come: a chunk size would hold bytes back that a broken answer then loses.
            if part.take(status, headers, response.iter_raw()):
                status = 200
            kept = resumed_at if not part.restarted else 0
            return Download(status, headers, str(response.url), part.received, kept)

        return self._persist(
            url, lambda: self._exchange(url, part.request_headers(), stored), part.gained
        )

    def _persist(self, url: str, once: Callable[[], T], gained: Callable[[int], bool]) -> T:
        """`once` until it succeeds, its failures followed by waits, or until patience ends."""
        attempts = 0
        while True:
            require_remote(self._environment)
            self._pace.take()
            try:
                return once()
            except _FailedAttemptError as failure:
                attempts = 1 if gained(_GAIN_BYTES) else attempts + 1
                if attempts >= self._patience():
                    raise _gave_up(url, failure, attempts) from failure
                self._wait(url, failure, attempts)

    def _patience(self) -> int:
        settings = self._settings
        first = min(settings.first_attempts, settings.max_attempts)
        return settings.max_attempts if self._answered else first

    def _wait(self, url: str, failure: _FailedAttemptError, attempts: int) -> None:
        settings = self._settings
        if failure.after_s > settings.longest_wait_s:
            raise RemoteError(
                f"{_host(url)} asks to wait {failure.after_s:.0f} s before the next request.",
                "Run again after that: what was fetched stays.",
                url=url,
                status=failure.status,
            ) from failure
        if failure.after_s:
            self._pace.hold(failure.after_s)
        ceiling_s = min(settings.backoff_ceiling_s, settings.backoff_base_s * 2 ** (attempts - 1))
        self._sleep(failure.after_s + self._jitter() * ceiling_s)

    def _exchange(
        self, url: str, headers: Mapping[str, str], consume: Callable[[httpx.Response], T]
    ) -> T:
        """One request and its redirects; `consume` reads the answer while it is open."""
        import httpx

        here = self._url(url)
        try:
            for _ in range(self._settings.max_redirects + 1):
                with self._client.stream("GET", here, headers=dict(headers)) as response:
                    self._answered = True
                    if not _is_redirect(response):
                        _refuse(response, url)
                        return consume(response)
                    here = _next(here, response.headers["location"])
        except (httpx.TimeoutException, httpx.NetworkError, httpx.ProxyError) as error:
            problem = f"{_host(str(here))} cannot be reached ({_name(error)})"
            raise _FailedAttemptError(problem) from error
        except (httpx.RemoteProtocolError, httpx.DecodingError, BrokenPartError) as error:
            problem = f"{_host(str(here))} broke off its answer ({_name(error)})"
            raise _FailedAttemptError(problem) from error
        raise RemoteError(
            f"{url} redirects more than {self._settings.max_redirects} times.",
            "Check the address.",
            url=url,
        )

    @staticmethod
    def _url(url: str) -> httpx.URL:
        import httpx

        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _no_address(url) from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise _no_address(url)
        return parsed


def _no_address(url: str) -> RemoteError:
    return RemoteError(f"{url} is no web address.", "Give one that begins with https://.", url=url)


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _is_redirect(response: httpx.Response) -> bool:
    return response.status_code in _REDIRECTS and "location" in response.headers


def _next(here: httpx.URL, location: str) -> httpx.URL:
    there = here.join(location)
    if there.scheme not in {"http", "https"} or (here.scheme, there.scheme) == ("https", "http"):
        raise RemoteError(
            f"{here} redirects to {there}, which is not safe to follow.",
            "Check the address and the network between.",
            url=str(here),
        )
    return there


def _refuse(response: httpx.Response, url: str) -> None:
    """Raise for an answer that bans, or that another attempt may better."""
    status = response.status_code
    if status == BANNED:
        wait = f" for {after_s:.0f} s" if (after_s := _retry_after_s(response)) else ""
        raise BannedError(
            f"{_host(url)} has banned this address{wait} (418): too many requests came from it.",
            "Wait before anything is asked again, then use fewer workers.",
            url=url,
            status=status,
        )
    if status in _RETRIED or status >= 500:
        problem = f"{_host(url)} answered {status} {response.reason_phrase}".rstrip()
        raise _FailedAttemptError(problem, status, _retry_after_s(response))


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds that the answer asks to wait: a number, or a date beside the answer's own; else 0."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
        sent = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (until - sent).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _gave_up(url: str, failure: _FailedAttemptError, attempts: int) -> RemoteError:
    return RemoteError(
        f"{failure}, {attempts} times.",
        "Check the network and the address, and run again: what was fetched stays.",
        url=url,
        status=failure.status,
        attempts=attempts,
    )


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition("?")[0]


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
