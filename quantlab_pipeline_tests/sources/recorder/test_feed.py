"""What is asked of a venue, and what a frame says of itself."""

from __future__ import annotations

import pytest

from quantlab_pipeline.sources.recorder.feed import (
    SYMBOLS_A_FEED,
    Message,
    RecorderError,
    feeds,
    is_one_line,
    read_message,
)
from quantlab_pipeline.sources.recorder.listener import Listener, Patience
from quantlab_pipeline_tests.sources.recorder import venue as v


def test_a_market_is_asked_for_all_its_streams_in_one_address():
    quotes, rest, spot = feeds(["usdm", "spot"], ["btcusdt", "ETHUSDT", "BTCUSDT"])
    assert quotes.symbols == rest.symbols == spot.symbols == ("BTCUSDT", "ETHUSDT")
    assert quotes.url == (
        "wss://fstream.binance.com/public/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker"
    )
    assert rest.url == (
        "wss://fstream.binance.com/market/stream?streams="
        "btcusdt@markPrice@1s/btcusdt@aggTrade/ethusdt@markPrice@1s/ethusdt@aggTrade"
    )
    assert spot.url == (
        "wss://stream.binance.com:9443/stream?streams="
        "btcusdt@bookTicker/btcusdt@aggTrade/ethusdt@bookTicker/ethusdt@aggTrade"
    )
    assert [f.has_pulse for f in (quotes, rest, spot)] == [False, True, False]


def test_many_symbols_are_spread_over_connections_that_the_venue_allows():
    names = [f"S{k}USDT" for k in range(2 * SYMBOLS_A_FEED + 1)]
    found = feeds(["spot"], names, {"spot": "ws://127.0.0.1:1/"})
    assert [s for feed in found for s in feed.symbols] == names
    assert all(len(f.symbols) * len(f.kinds) <= 200 for f in found)
    assert found[0].url.startswith("ws://127.0.0.1:1/stream?streams=s0usdt@")


@pytest.mark.parametrize(
    ("markets", "symbols", "bases", "problem"),
    [
        (["coinm"], ["BTCUSDT"], {}, "no market coinm"),
        ([], ["BTCUSDT"], {}, "no market"),
        (["usdm"], [], {}, "no symbol"),
        (["usdm"], ["BTC/USDT"], {}, "BTC/USDT is no symbol"),
        (["usdm"], ["BTCUSDT"], {"usdm": "https://x"}, "no websocket address"),
        (["usdm"], ["BTCUSDT"], {"usdm": "ws://"}, "no websocket address"),
        (["usdm"], ["BTCUSDT"], {"usdm": "ws://x:port"}, "no websocket address"),
        (["usdm"], ["BTCUSDT"], {"coinm": "ws://x"}, "no market coinm"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_opened(
    markets, symbols, bases, problem
):
    with pytest.raises(RecorderError, match=problem):
        feeds(markets, symbols, bases)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (v.quote(7, event_ms=5), Message("BTCUSDT", "bookTicker", 7, 5)),
        (v.quote(7), Message("BTCUSDT", "bookTicker", 7, None)),
        (v.trade(8, event_ms=6), Message("BTCUSDT", "aggTrade", 8, 6)),
        (v.quote(7)[:40], Message("BTCUSDT")),
        ("junk", Message(None)),
        ("[" * 100_000, Message(None)),
        ('{"result":null,"id":1}', Message(None)),
        ('{"stream":"btcusdt@depth","data":[1]}', Message("BTCUSDT")),
        (v.quote(7).replace(":7,", ':"7",'), Message("BTCUSDT", "bookTicker")),
        (v.quote(7).replace(":7,", ":1e300,"), Message("BTCUSDT", "bookTicker")),
        (v.quote(7).replace(":7,", ":true,"), Message("BTCUSDT", "bookTicker")),
        (v.quote(2**60), Message("BTCUSDT", "bookTicker")),
    ],
)
def test_a_frame_says_what_it_can(text, message):
    assert read_message(text) == message


def test_only_text_of_one_line_that_is_not_ours_stands_as_it_came():
    assert is_one_line(v.quote(1))
    for text in ("a\nb", "a\r", "a\0", '{"stream":"!quantlab"}'):
        assert not is_one_line(text)


def test_waits_double_up_to_the_longest_and_a_random_half_of_each_is_spared():
    def waits(random: float) -> list[float]:
        patience = Patience(first_wait_s=0.5, longest_wait_s=30)
        (feed,) = feeds(["spot"], ["BTCUSDT"])
        listener = Listener(0, feed, None, None, lambda: random, patience)
        return [listener._wait_s(tries) for tries in (1, 2, 3, 7, 5000)]

    assert waits(1.0) == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert waits(0.0) == [0.25, 0.5, 1.0, 15.0, 15.0]
