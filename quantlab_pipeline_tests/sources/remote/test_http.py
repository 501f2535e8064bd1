"""The client against servers that misbehave: what is tried again, what is not, and how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from quantlab_pipeline.sources.remote.http import (
    BannedError,
    HttpClient,
    HttpSettings,
    RemoteDisabledError,
    RemoteError,
    _next,
)
from quantlab_pipeline_tests.sources.remote import server as s
from quantlab_pipeline_tests.sources.remote.server import Answer, ArchiveSite, LocalServer, Request

DATA = bytes(range(256)) * 4096
"""1 MiB whose every part tells where it is from, up to a period of 256."""

NAME = "data/file.zip"


class Waits:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds

    def clock(self) -> float:
        return self.now


@contextmanager
def talking(
    answer: Callable[[Request], Answer], environment: dict[str, str] | None = None, **settings
) -> Iterator[tuple[HttpClient, LocalServer, Waits]]:
    waits = Waits()
    patient = HttpSettings(**{"read_timeout_s": 5.0, "max_attempts": 4, **settings})
    with (
        LocalServer(answer) as server,
        HttpClient(
            patient,
            sleep=waits.sleep,
            clock=waits.clock,
            jitter=lambda: 0.5,
            environment=environment or {},
        ) as client,
    ):
        yield client, server, waits


@contextmanager
def site(*faults: s.Fault, **settings):
    files = ArchiveSite({NAME: DATA})
    files.fail(NAME, *faults)
    with talking(files, **settings) as (client, server, waits):
        yield client, server, waits, files


def fetched(client: HttpClient, server: LocalServer, path: Path, **more):
    return client.download(f"{server.url}/{NAME}", path, **more)


# --- small answers -----------------------------------------------------------------------------


def test_an_answer_is_its_status_headers_and_body():
    with talking(lambda r: Answer(200, {"X-Weight": "3"}, r.query["symbol"].encode())) as (c, v, _):
        got = c.get(f"{v.url}/fapi/v1/klines", {"symbol": "BTC USDT&", "limit": 5})
        assert (got.status, got.body, got.headers["x-weight"]) == (200, b"BTC USDT&", "3")
        assert v.requests[0].query == {"symbol": "BTC USDT&", "limit": "5"}


@pytest.mark.parametrize("status", [400, 403, 404, 451])
def test_what_a_retry_cannot_mend_is_a_value_and_asked_once(status):
    with talking(lambda _: Answer(status, {}, b"why")) as (client, server, waits):
        got = client.get(server.url)
        assert (got.status, got.body) == (status, b"why")
        assert (len(server.requests), waits.slept) == (1, [])


@pytest.mark.parametrize(
    "fault", [s.status(429), s.status(503), s.status(500), s.cut(100), s.reset(100), s.stall(10)]
)
def test_what_a_retry_may_mend_is_tried_again(fault):
    with site(fault, read_timeout_s=0.3) as (client, server, waits, _):
        assert client.get(f"{server.url}/{NAME}").body == DATA
        assert (len(server.requests), waits.slept) == (2, [0.25])


def test_waits_double_and_are_jittered_until_patience_ends():
    settings = {"max_attempts": 6, "backoff_base_s": 1.0, "backoff_ceiling_s": 6.0}
    with talking(lambda _: Answer(503), **settings) as (client, server, waits):
        with pytest.raises(RemoteError, match="answered 503 Service Unavailable, 6 times") as error:
            client.get(server.url)
        assert waits.slept == [0.5, 1.0, 2.0, 3.0, 3.0]
        assert (error.value.fields["status"], error.value.fields["attempts"]) == (503, 6)
        assert len(server.requests) == 6


def test_the_time_that_a_server_asks_for_is_waited_out_by_every_thread():
    with site(s.status(429, retry_after="20")) as (client, server, waits, _):
        client.get(f"{server.url}/{NAME}")
        assert waits.slept == [20.25]
    dated = s.status(
        503, retry_after="Tue, 05 Mar 2024 06:00:30 GMT", date="Tue, 05 Mar 2024 06:00:00 GMT"
    )
    with site(dated) as (client, server, waits, _):
        client.get(f"{server.url}/{NAME}")
        assert waits.slept == [30.25]


def test_a_wait_that_is_too_long_is_an_error_that_says_it():
    with site(s.status(429, retry_after="7200")) as (client, server, waits, _):
        with pytest.raises(RemoteError, match="asks to wait 7200 s"):
            client.get(f"{server.url}/{NAME}")
        assert waits.slept == []


def test_a_ban_ends_everything_at_once():
    with talking(lambda _: Answer(418, {"Retry-After": "120"})) as (client, server, waits):
        with pytest.raises(BannedError, match="banned this address for 120 s"):
            client.get(server.url)
        assert (len(server.requests), waits.slept) == (1, [])


def test_no_server_is_an_error_with_a_remedy_and_soon():
    with talking(lambda _: Answer(), max_attempts=9) as (client, server, waits):
        gone = server.url
        server.__exit__()
        with pytest.raises(RemoteError, match=r"cannot be reached .* 3 times. Check the network"):
            client.get(gone)
        assert waits.slept == [0.25, 0.5]


def test_a_server_that_answered_once_is_waited_for_longer():
    once = Answer(headers={"Connection": "close"})
    with talking(lambda _: once, max_attempts=5) as (client, server, _):
        client.get(server.url)
        server.__exit__()
        with pytest.raises(RemoteError, match="5 times"):
            client.get(server.url)


@pytest.mark.parametrize("url", ["ftp://host/x", "nowhere", "https://", "http://[::1", ""])
def test_what_is_no_web_address_is_refused(url):
    with talking(lambda _: Answer()) as (client, _, _), pytest.raises(RemoteError, match="no web"):
        client.get(url)


def test_the_switch_forbids_every_call_and_says_so():
    environment = {"DATA_REMOTE_PROVIDERS": "disabled"}
    with talking(lambda _: Answer(), environment) as (client, server, _):
        for call in (lambda: client.get(server.url), lambda: client.download(server.url, Path())):
            with pytest.raises(RemoteDisabledError, match="Unset DATA_REMOTE_PROVIDERS"):
                call()
        assert server.requests == []
        environment["DATA_REMOTE_PROVIDERS"] = ""
        assert client.get(server.url).status == 200


# --- redirects ---------------------------------------------------------------------------------


def test_redirects_are_followed_but_not_for_ever():
    def hop(request: Request) -> Answer:
        n = int(request.path.strip("/"))
        return Answer(302, {"Location": f"/{n - 1}"}) if n else Answer(200, {}, b"here")

    with talking(hop, max_redirects=3) as (client, server, _):
        got = client.get(f"{server.url}/3")
        assert (got.body, got.url) == (b"here", f"{server.url}/0")
        with pytest.raises(RemoteError, match="redirects more than 3 times"):
            client.get(f"{server.url}/4")


def test_a_redirect_off_the_web_is_refused():
    away = Answer(301, {"Location": "file:///etc/passwd"})
    with (
        talking(lambda _: away) as (client, server, _),
        pytest.raises(RemoteError, match="not safe to follow"),
    ):
        client.get(server.url)


def test_a_redirect_never_leaves_an_encrypted_connection():
    secure = httpx.URL("https://data.example/a")
    assert str(_next(secure, "//mirror.example/b")) == "https://mirror.example/b"
    with pytest.raises(RemoteError, match="not safe to follow"):
        _next(secure, "http://data.example/a")


# --- pace --------------------------------------------------------------------------------------


def test_requests_keep_their_pace_after_a_burst():
    with talking(lambda _: Answer(), burst=3, requests_per_s=2.0) as (client, server, waits):
        for _ in range(6):
            client.get(server.url)
        assert waits.slept == [0.5, 0.5, 0.5]


def test_no_more_connections_than_allowed_are_open_at_once():
    with talking(lambda _: Answer(body=b"x" * 9, pause_s=0.05), connections=3, burst=99) as (
        c,
        v,
        _,
    ):
        threads = [threading.Thread(target=c.get, args=(v.url,)) for _ in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(v.requests) == 9
        assert 2 <= v.most_at_once <= 3


# --- downloads ---------------------------------------------------------------------------------


def test_a_download_is_the_file(tmp_path):
    with site() as (client, server, _, _):
        heard = []
        got = fetched(client, server, tmp_path / "f", on_bytes=heard.append)
        assert (tmp_path / "f").read_bytes() == DATA
        assert (got.status, got.received, got.resumed_at) == (200, len(DATA), 0)
        assert got.headers["etag"].startswith('"')
        assert sum(heard) == len(DATA)


@pytest.mark.parametrize("fault", [s.cut(300_001), s.reset(300_001), s.stall(300_001)])
def test_a_download_that_breaks_goes_on_where_it_stopped(tmp_path, fault):
    with site(fault, read_timeout_s=0.3) as (client, server, _, _):
        got = fetched(client, server, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == DATA
        assert got.received == len(DATA)
        again = server.requests[1].headers
        assert again["range"] == "bytes=300001-"
        assert again["if-range"].startswith('"')


def test_a_download_goes_on_behind_what_is_there(tmp_path):
    (tmp_path / "f").write_bytes(DATA[:1000])
    with site() as (client, server, _, _):
        got = fetched(client, server, tmp_path / "f")
        assert server.requests[0].headers["range"] == "bytes=1000-"
        assert (got.status, got.received, got.resumed_at) == (200, len(DATA) - 1000, 1000)
        assert (tmp_path / "f").read_bytes() == DATA


def test_what_is_wholly_there_costs_one_question(tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    with site() as (client, server, _, _):
        got = fetched(client, server, tmp_path / "f")
        assert (got.status, got.received) == (200, 0)
        assert (tmp_path / "f").read_bytes() == DATA


def test_a_file_that_changes_under_a_download_is_begun_anew(tmp_path):
    other = DATA[::-1]
    with site(s.cut(300_000)) as (client, server, _, files):
        calls = []

        def swap(n: int) -> None:
            calls.append(n)
            files.publish(NAME, other)

        fetched(client, server, tmp_path / "f", on_bytes=swap)
        assert (tmp_path / "f").read_bytes() == other
        assert min(calls) < 0
        assert sum(calls) == len(other)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(206, {"Content-Range": f"bytes 5-{len(DATA) - 1}/{len(DATA)}"}, DATA[5:]),
        Answer(206, {}, DATA[1000:]),
        Answer(206, {"Content-Range": f"bytes 1000-1999/{len(DATA)}"}, DATA[1000:2000]),
        Answer(416, {"Content-Range": "bytes */10"}),
        Answer(416),
    ],
)
def test_a_range_that_does_not_fit_is_thrown_away(tmp_path, answer):
    (tmp_path / "f").write_bytes(DATA[:1000])
    with site(lambda *_: answer) as (client, server, _, _):
        fetched(client, server, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == DATA


def test_a_server_without_ranges_is_read_from_the_start(tmp_path):
    (tmp_path / "f").write_bytes(b"old" * 1000)
    with site(s.body(DATA)) as (client, server, _, _):
        got = fetched(client, server, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == DATA
        assert got.resumed_at == 0


def test_a_file_that_is_not_there_leaves_the_disk_alone(tmp_path):
    (tmp_path / "f").write_bytes(b"head")
    with talking(ArchiveSite({})) as (client, server, _):
        assert fetched(client, server, tmp_path / "f").status == 404
        assert (tmp_path / "f").read_bytes() == b"head"
        assert fetched(client, server, tmp_path / "g").status == 404
        assert not (tmp_path / "g").exists()


def test_progress_renews_patience_and_its_lack_ends_it(tmp_path):
    data = DATA * 8
    files = ArchiveSite({NAME: data})
    files.fail(NAME, *[s.cut((1 << 20) + 7)] * 6)
    with talking(files, max_attempts=3) as (client, server, _):
        fetched(client, server, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == data
    files.fail(NAME, *[s.cut(10)] * 6)
    with talking(files, max_attempts=3) as (client, server, _):
        with pytest.raises(RemoteError, match=r"broke off its answer .* 3 times"):
            fetched(client, server, tmp_path / "g")
        assert len(server.requests) == 3


def test_a_disk_that_fails_is_not_tried_again(tmp_path):
    with site() as (client, server, _, _):
        with pytest.raises(OSError, match="No such file or directory"):
            fetched(client, server, tmp_path / "no" / "f")
        assert len(server.requests) == 1
