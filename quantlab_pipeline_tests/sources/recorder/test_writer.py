"""What is written where, and the account of it: clocks by the minute, sequences by the stream."""

from __future__ import annotations

from quantlab_pipeline.sources.recorder.backlog import Entry
from quantlab_pipeline.sources.recorder.feed import Feed
from quantlab_pipeline.sources.recorder.writer import Writer
from quantlab_pipeline_tests.sources.recorder import venue as v

START_NS = 1_723_118_400 * 10**9
SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
FEEDS = [
    Feed("usdm", ("BTCUSDT", "ETHUSDT"), "ws://x", ("bookTicker",)),
    Feed("spot", ("BTCUSDT",), "ws://y", ("bookTicker", "aggTrade")),
]


def quotes(first_s: int, last_s: int, behind_ms: int, feed: int = 0) -> list[Entry]:
    """A quote a second, its venue time so much later than its stamp."""
    found = []
    for second in range(first_s, last_s):
        at_ns = START_NS + second * SECOND_NS
        text = v.quote(second, event_ms=at_ns // 10**6 + behind_ms)
        found.append(Entry(feed, at_ns, text))
    return found


def test_each_minute_tells_the_clocks_median_in_every_file_of_its_feed(tmp_path):
    writer = Writer(FEEDS, tmp_path)
    entries = [*quotes(0, 60, 1300), *quotes(60, 101, -40), *quotes(101, 120, 900)]
    writer.write(entries[:30], entries[29].local_ns, [True, False])
    writer.write(entries[30:], START_NS + 2 * MINUTE_NS, [True, False])
    writer.close()
    told = [{"e": "clock", "offset_ms": -1300, "n": 60}, {"e": "clock", "offset_ms": 40, "n": 60}]
    assert v.own_in(tmp_path, "clock", "usdm/btcusdt*") == told
    assert v.own_in(tmp_path, "clock", "usdm/ethusdt*") == told
    assert v.own_in(tmp_path, "clock", "spot/*") == []
    assert writer.account().offset_ms == {"usdm": 40}


def test_a_minute_in_which_nothing_came_tells_only_that_the_connection_stands(tmp_path):
    writer = Writer(FEEDS, tmp_path)
    for minute in range(3):
        writer.write([], START_NS + minute * MINUTE_NS, [True, False])
    writer.close()
    assert v.own_in(tmp_path, "clock", "usdm/btcusdt*") == [{"e": "clock", "n": 0}] * 2
    assert v.own_in(tmp_path, "clock", "spot/*") == []


def test_what_names_no_symbol_of_its_feed_is_in_the_file_of_the_first(tmp_path):
    writer = Writer(FEEDS, tmp_path)
    texts = ["junk", v.quote(1, "DOGEUSDT"), v.quote(2, "ETHUSDT"), v.quote(3, "ETHUSDT")[:50]]
    writer.write(
        [Entry(0, START_NS + k, text) for k, text in enumerate(texts)], START_NS, [True] * 2
    )
    writer.close()
    assert v.sent_in(tmp_path, "usdm/btcusdt*") == texts[:2]
    assert v.sent_in(tmp_path, "usdm/ethusdt*") == texts[2:]
    assert writer.account().odd_frames == 3


def test_streams_are_counted_apart(tmp_path):
    writer = Writer(FEEDS, tmp_path)
    texts = [v.quote(5), v.quote(5, "ETHUSDT"), v.trade(5), v.trade(7), v.quote(4)]
    writer.write([Entry(0, START_NS + k, t) for k, t in enumerate(texts)], START_NS, [True] * 2)
    writer.write([Entry(1, START_NS + 9, v.quote(1))], START_NS, [True] * 2)
    account = writer.account()
    assert (account.messages, account.repeats, account.backwards, account.missing) == (6, 0, 1, 1)
