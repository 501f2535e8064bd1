"""Captures as tables: when a row could be known, what is counted, and that a day stands alone."""

from __future__ import annotations

import gzip
import zlib
from datetime import timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline_tests.sources.builders import MemorySink, ingest
from quantlab_pipeline_tests.sources.capture import builders as b

NEXT = b.DAY + timedelta(days=1)
NEXT_PERP = b.PERP.replace("0808", "0809")


def found(parsed, check, dataset=None):
    return [f for f in parsed.findings if f.check == check and dataset in {None, f.dataset}]


def sampled(parsed, leg="perp") -> dict:
    rows = parsed.frame.filter(pl.col("leg") == leg)
    return dict(rows.select("ts", "bid_px").iter_rows())


def test_a_folder_says_what_it_has():
    source = b.capture({b.PERP: [b.book(b.at(1), 1, b.at(1))], "spot/ethusdt_20240809.gz": []})
    assert source.symbols() == ["BTCUSDT"]
    assert source.days("tob_snapshots", "BTCUSDT") == (b.DAY, b.DAY)
    assert source.days("bars_1m_spot", "ETHUSDT") == (NEXT, NEXT)
    assert source.offers("mark_index", "BTCUSDT")
    assert not source.offers("mark_index", "ETHUSDT")
    assert not source.offers("funding", "BTCUSDT")
    assert source.days("open_interest", "BTCUSDT") is None
    assert ingest(source, "funding", [b.DAY]).frame.equals(schema.FUNDING.empty())
    with pytest.raises(SourceError, match="no dataset"):
        source.offers("bars_5m", "BTCUSDT")
    with pytest.raises(SourceError, match="no capture"):
        b.capture({"a.csv": b""}).symbols()


def test_one_file_is_kept_once_for_all_its_datasets():
    source = b.capture({b.PERP: [b.book(b.at(1), 1, b.at(1))]})
    sink = MemorySink()
    for dataset in ("tob_snapshots", "bars_1m_perp", "mark_index"):
        files = source.land(dataset, "BTCUSDT", [b.DAY], sink)
        assert [f.name for f in files] == [b.PERP]
    assert sink.new == 1


def test_a_quote_is_known_when_it_came_and_not_before_it_happened():
    lines = [
        b.book(b.at(1.2), 1, b.at(0.9), bid=1.0),
        b.book(b.at(2.2), 2, b.at(2.19), bid=2.0),
        b.book(b.at(3.9), 3, b.at(4.0), bid=3.0),
    ]
    frame = sampled(ingest(b.capture({b.PERP: lines}), "tob_snapshots", [b.DAY]))
    assert b.at(1) not in frame
    assert [frame[b.at(s)] for s in (2, 3, 4, 5)] == [1.0, 2.0, 3.0, 3.0]


def test_spot_quotes_without_a_time_are_moved_by_the_clock_of_their_trades():
    behind = timedelta(seconds=1.3)
    spot = [b.trade(b.at(10.5) - behind, 1, b.at(10.5)), b.book(b.at(11.4) - behind, 1, bid=7.0)]
    parsed = ingest(b.capture({b.SPOT: spot}), "tob_snapshots", [b.DAY])
    frame = sampled(parsed, "spot")
    assert min(frame) == b.at(12)
    (offset,) = found(parsed, "clock_offset")
    assert (offset.dataset, offset.count, offset.places) == ("tob_spot", 1, (b.at(60),))
    assert offset.detail.startswith("local clock 1.30 s behind the venue")
    (timeless,) = found(parsed, "no_event_time")
    assert (timeless.count, timeless.detail) == (1, "1 of 1 quotes carry no time of the venue")


def test_spot_quotes_without_any_time_are_moved_by_the_clock_of_the_other_leg():
    behind = timedelta(seconds=1.3)
    perp = [b.book(b.at(10.5) - behind, 1, b.at(10.5))]
    spot = [b.book(b.at(11.4) - behind, 1, bid=7.0)]
    parsed = ingest(b.capture({b.PERP: perp, b.SPOT: spot}), "tob_snapshots", [b.DAY])
    assert min(sampled(parsed, "spot")) == b.at(12)
    assert [f.dataset for f in found(parsed, "clock_offset")] == ["tob_perp"]


def test_a_clock_within_its_limits_is_no_finding():
    for early_s, count in ((0.100, 0), (0.101, 1), (-0.500, 0), (-0.501, 1)):
        lines = [b.book(b.at(5) - timedelta(seconds=early_s), 1, b.at(5))]
        parsed = ingest(b.capture({b.PERP: lines}), "tob_snapshots", [b.DAY])
        assert len(found(parsed, "clock_offset")) == count, early_s
        assert "ahead of" in found(parsed, "clock_offset")[0].detail if early_s == -0.501 else True


def test_a_lost_connection_counts_for_what_it_carried():
    def found_after(kinds):
        lines = [b.trade(b.at(s), s // 10 + 1) for s in range(0, 310, 10)]
        lines.insert(15, b.own(b.at(148), "reconnected", gap_ms=6000.0, kinds=kinds))
        source = b.capture({b.PERP: lines})
        bars = ingest(source, "bars_1m_perp", [b.DAY]).frame.height
        return bars, len(found(ingest(source, "tob_snapshots", [b.DAY]), "sequence_gaps"))

    assert found_after(["bookTicker"]) == (4, 1)
    assert found_after(["markPrice", "aggTrade"]) == (3, 0)


def test_ids_that_repeat_or_go_back_and_lost_connections_are_counted_by_the_minute():
    lines = [
        *(b.book(b.at(s), u, b.at(s)) for s, u in ((1, 5), (2, 5), (3, 9), (4, 7))),
        b.own(b.at(70), "reconnected", gap_ms=61_500.0, tries=1),
        b.book(b.at(130), 9, b.at(130)),
    ]
    parsed = ingest(b.capture({b.PERP: lines}), "tob_snapshots", [b.DAY])
    (gaps,) = found(parsed, "sequence_gaps")
    assert (gaps.dataset, gaps.count) == ("tob_perp", 4)
    assert gaps.places == (b.at(60), b.at(120), b.at(180))
    assert gaps.detail == "the connection was lost for 61.5 s; 3 update ids repeat or go back"


def test_garbage_is_named_by_file_and_line():
    lines = [b.book(b.at(1), 1, b.at(1)), "junk", b.book(b.at(61), 2, b.at(61))[:-9]]
    parsed = ingest(b.capture({b.PERP: lines}), "tob_snapshots", [b.DAY])
    (bad,) = found(parsed, "garbage_lines")
    assert (bad.count, bad.places) == (2, (b.at(60), b.at(120)))
    assert bad.detail == f"{b.PERP}:2; {b.PERP}:3"
    bars = ingest(b.capture({b.PERP: lines}), "bars_1m_perp", [b.DAY])
    assert [f.dataset for f in found(bars, "garbage_lines")] == ["bars_1m_perp"]


def test_a_file_that_was_cut_off_gives_all_its_lines_and_one_finding():
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    lines = [b.book(b.at(s), s, b.at(s), bid=float(s)) for s in range(1, 100)]
    data = deflate.compress(b.text(lines)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    parsed = ingest(b.capture({b.PERP: data[:-40]}), "tob_snapshots", [b.DAY])
    (cut,) = found(parsed, "truncated_file")
    assert (cut.count, cut.dataset) == (1, "tob_perp")
    assert cut.places == (b.at(120),)
    assert b.PERP in cut.detail
    assert sampled(parsed)[b.at(90)] == 90.0
    assert ingest(b.capture({b.PERP: b""}), "tob_snapshots", [b.DAY]).frame.is_empty()


def test_lines_that_are_not_of_their_files_hours_are_set_aside():
    name = "usdm/btcusdt_20240808T00.gz"
    lines = [b.book(b.at(1), 1, b.at(1)), b.book(b.at(7200), 2, b.at(7200), bid=5.0)]
    parsed = ingest(b.capture({name: lines}), "tob_snapshots", [b.DAY])
    (outside,) = found(parsed, "outside_file")
    assert (outside.count, outside.day) == (1, b.DAY)
    assert set(sampled(parsed).values()) == {99.0}


def test_a_mark_is_the_last_that_was_known_by_the_minutes_close():
    lines = [
        b.mark(b.at(58.1), b.at(58), price=1.0, index=10.0, rate=1e-4),
        b.mark(b.at(59.1), b.at(59), price=2.0, index=20.0, rate=2e-4),
        b.mark(b.at(60.1), b.at(60), price=3.0, index=30.0, rate=3e-4),
        b.mark(b.at(130), b.at(129), price=4.0, index=0.0, settles=b.at(57600)),
    ]
    parsed = ingest(b.capture({b.PERP: lines}), "mark_index", [b.DAY])
    rows = parsed.frame.select("ts", "mark_price", "index_price", "predicted_rate").rows()
    assert rows == [
        (b.at(60), 2.0, 20.0, 2e-4),
        (b.at(120), 3.0, 30.0, 3e-4),
        (b.at(180), 4.0, None, 1e-4),
    ]
    assert parsed.frame["next_funding_ts"].to_list() == [b.at(28800), b.at(28800), b.at(57600)]
    assert [(f.check, f.count) for f in parsed.findings] == [("index_non_positive_price", 1)]


def test_trades_outside_the_market_are_counted_and_make_no_bar():
    lines = [
        b.trade(b.at(-0.001), 1, price=100.0),
        b.trade(b.at(10), 2, price=250.0, kind="INSURANCE_FUND"),
        b.trade(b.at(20), 3, price=101.0),
        b.trade(b.at(62), 4, price=102.0),
    ]
    before = b.PERP.replace("0808", "0807")
    source = b.capture({before: lines[:1], b.PERP: lines[1:]})
    parsed = ingest(source, "bars_1m_perp", [b.DAY])
    assert parsed.frame.select("ts", "high", "n_trades").rows() == [(b.at(60), 101.0, 1)]
    assert [(f.check, f.count, f.places) for f in parsed.findings] == [
        ("non_market_trades", 1, (b.at(60),))
    ]


def test_single_trades_make_the_bars_of_a_day_that_has_both_kinds():
    both = [
        *(b.agg_trade(b.at(s), s, n=2, base=5.0) for s in (0, 30, 62)),
        *(b.trade(b.at(s), s // 30 + 1, base=1.0) for s in (0, 30, 62)),
    ]
    lines = sorted(both, key=lambda text: int(text.split()[0]))
    parsed = ingest(b.capture({b.PERP: lines}), "bars_1m_perp", [b.DAY])
    assert parsed.frame.select("volume_base", "n_trades").rows() == [(2.0, 2)]
    only = [x for x in lines if "aggTrade" in x]
    numbered = [x.replace('"a":30', '"a":1').replace('"a":62', '"a":2') for x in only]
    parsed = ingest(b.capture({b.PERP: numbered}), "bars_1m_perp", [b.DAY])
    assert parsed.frame.select("volume_base", "n_trades").rows() == [(10.0, 4)]


def test_a_connection_that_was_lost_leaves_no_bar_where_it_was():
    def trades(first: int, last: int) -> list[str]:
        return [b.trade(b.at(s), s // 10 + 1) for s in range(first, last, 10)]

    whole = ingest(b.capture({b.PERP: trades(0, 310)}), "bars_1m_perp", [b.DAY])
    assert whole.frame.height == 4
    lines = [*trades(0, 150), b.own(b.at(148), "reconnected", gap_ms=6000.0), *trades(150, 310)]
    parsed = ingest(b.capture({b.PERP: lines}), "bars_1m_perp", [b.DAY])
    assert parsed.frame["ts"].to_list() == [b.at(s) for s in (60, 120, 240)]


def two_days() -> dict[str, list[str]]:
    """A capture by hours around a midnight, its clock 1.3 s behind, with faults on both days."""
    files: dict[str, list[str]] = {}
    for k, second in enumerate(range(86_400 - 400, 86_400 + 400, 5)):
        event = b.at(second + 0.5)
        local = event - timedelta(seconds=1.3, milliseconds=k % 7)
        name = f"btcusdt_{local:%Y%m%dT%H}.gz"
        files.setdefault(f"usdm/{name}", []).extend(
            [
                b.book(local, k - 3 * (k % 50 == 10), event, bid=90 + k % 5),
                b.mark(local, event, price=100 + k / 100),
                b.trade(local, k, event, price=100 + k % 9),
            ]
        )
        files.setdefault(f"spot/{name}", []).append(b.book(local, k, bid=80 + k % 5))
    files["usdm/btcusdt_20240809T00.gz"].insert(40, "junk")
    return files


@pytest.mark.parametrize("dataset", ["tob_snapshots", "mark_index", "bars_1m_perp"])
def test_a_range_of_days_equals_its_days_one_by_one(dataset):
    source = b.capture(two_days(), grid_s=5)
    both = ingest(source, dataset, [b.DAY, NEXT])
    alone = [ingest(source, dataset, [day]) for day in (b.DAY, NEXT)]
    assert both.frame.height > 6
    assert both.frame.equals(pl.concat([p.frame for p in alone]).sort(both_key(dataset)))
    order = sorted(both.findings, key=repr)
    assert order == sorted((f for p in alone for f in p.findings), key=repr)
    assert not found(both, "non_monotone")


def both_key(dataset: str) -> list[str]:
    return ["symbol", "leg", "ts"] if dataset == "tob_snapshots" else ["symbol", "ts"]


def test_the_book_stands_overnight():
    lines = [b.book(b.at(86_000), 1, b.at(86_000), bid=55.0)]
    later = [b.book(b.at(50_000, day=1), 2, b.at(50_000, day=1))]
    source = b.capture({b.PERP: lines, NEXT_PERP: later})
    frame = sampled(ingest(source, "tob_snapshots", [NEXT]))
    assert frame[b.at(1, day=1)] == 55.0


def test_parts_of_an_hour_and_members_of_a_file_are_one_stream():
    first, second, third = (b.text([b.book(b.at(s), s, b.at(s), bid=float(s))]) for s in (1, 2, 3))
    name = "usdm/btcusdt_20240808T00"
    source = b.capture(
        {
            f"{name}.gz": gzip.compress(first) + gzip.compress(second),
            f"{name}-2.gz": gzip.compress(third),
        }
    )
    parsed = ingest(source, "tob_snapshots", [b.DAY])
    assert [sampled(parsed)[b.at(s)] for s in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert parsed.findings == ()


def test_a_recorder_that_was_started_again_tells_of_its_rest():
    name = "usdm/btcusdt_20240808T00"
    one = [b.trade(b.at(s), s // 10 + 1) for s in range(0, 130, 10)]
    two = [
        b.own(b.at(124), "started"),
        *(b.trade(b.at(s), s // 10 + 1) for s in range(130, 310, 10)),
    ]
    source = b.capture({f"{name}.gz": one, f"{name}-2.gz": two})
    book = ingest(source, "tob_snapshots", [b.DAY])
    (gap,) = found(book, "sequence_gaps")
    assert (gap.count, gap.places) == (1, (b.at(180),))
    assert gap.detail == "the recorder was started again"
    assert ingest(source, "bars_1m_perp", [b.DAY]).frame["ts"].to_list() == [
        b.at(60), b.at(120), b.at(240),
    ]  # fmt: skip
