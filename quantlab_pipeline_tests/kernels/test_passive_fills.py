"""Resting orders: equal to the slow twin, golden numbers by hand, and what a fill may never be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import passive_fills as kernel
from quantlab_pipeline_tests.kernels.test_execution import as_rows, book_of
from quantlab_pipeline_tests.oracles import passive_fills as oracle

RULES = {"touch": kernel.TOUCH, "queue": kernel.QUEUE, "penetration": kernel.PENETRATION}
MAX_AGE_US = 3_000_000
BAD = [np.nan, np.inf, 0.0, -1.0]
HALVES = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]


def mostly(good, bad=BAD):
    """One of `good`, every twentieth time one of `bad`."""
    return st.sampled_from([*good * (19 * len(bad)), *bad * len(good)])


def sent(orders, half=0.0):
    columns = list(zip(*orders, strict=True))
    floats = [np.array(column, dtype=np.float64) for column in columns[3:]]
    return kernel.Resting(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.int8),
        *floats,
        np.full(len(orders), half),
    )


def quote_fills(book, orders, rule, traded_share=1.0):
    resting = sent(orders)
    return kernel.rest_on_quotes(
        book_of(book),
        resting,
        RULES[rule],
        MAX_AGE_US,
        traded_share,
    )


# A narrow grid of prices and sizes, so that quotes meet, lock, cross and come back to a price.
quotes = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 2]),
        mostly([99.0, 100.0, 100.0, 101.0]),
        mostly(HALVES),
        mostly([0.5, 1.0, 2.0], [0.0, -1.0]),
        mostly(HALVES),
        mostly([0, 1_000_000], [4_000_000]),
    ),
    min_size=1,
    max_size=25,
)


def on_a_clock(rows):
    """Steps of 0 to 2 s between quotes (0: a tie), the ask as a distance from the bid."""
    at, book = 0, []
    for step, bid, bid_qty, width, ask_qty, age in rows:
        at += step * 1_000_000
        book.append((at, bid, bid_qty, bid + width, ask_qty, age))
    return book


orders = st.lists(
    st.tuples(
        st.integers(0, 12_000_000),
        st.sampled_from([-1_000_000, 0, 5_000_000, 20_000_000, 20_000_000]),
        st.sampled_from([1, -1]),
        mostly(HALVES),
        st.sampled_from([np.nan, np.nan, np.nan, 99.0, 100.0, 100.5, 101.0]),
        mostly([0.0, 0.5, 1.0, 2.0], [np.nan, np.inf]),
        mostly([0.5, 1.0], [np.nan]),
    ).map(lambda o: (o[0], o[0] + o[1], *o[2:])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=40, deadline=None)
@given(quotes.map(on_a_clock), orders, st.sampled_from([0.0, 0.3, 1.0]))
def test_fills_equal_the_oracle_to_the_bit_on_hostile_books(book, resting, traded_share):
    for rule in RULES:
        got = as_rows(quote_fills(book, resting, rule, traded_share))
        want = [oracle.rest_on_quotes(book, o, rule, MAX_AGE_US, traded_share) for o in resting]
        np.testing.assert_array_equal(got, want)


def random_book(rng, n=40):
    """A book that moves little: most quotes shrink, grow or leave a price rather than jump."""
    bid = 100.0 + np.cumsum(rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.8, 0.1]))
    width = rng.choice([1.0, 2.0, 0.0, -1.0, np.nan], n, p=[0.8, 0.14, 0.02, 0.02, 0.02])
    sizes = np.maximum(0.0, 4.0 + np.cumsum(rng.normal(0, 0.7, (2, n)), axis=1))
    at = np.cumsum(rng.choice([0, 1, 5], n, p=[0.1, 0.8, 0.1])) * 1_000_000
    age = rng.choice([0, 4_000_000], n, p=[0.95, 0.05])
    columns = (at, bid, sizes[0], bid + width, sizes[1], age)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def random_orders(rng, n=12):
    arrive = rng.integers(0, 40_000_000, n)
    return [
        (
            int(a),
            int(a) + int(rng.integers(0, 30_000_000)),
            int(rng.choice([-1, 1])),
            float(rng.uniform(0.1, 3.0)),
            float(rng.choice([np.nan, np.nan, 99.0, 101.0])),
            float(rng.choice([0.0, 1.0, 1.5])),
            float(rng.choice([0.5, 1.0])),
        )
        for a in arrive
    ]


@pytest.mark.parametrize("rule", RULES)
def test_fills_equal_the_oracle_to_the_bit_on_two_hundred_random_books(rule):
    rng = np.random.default_rng(11)
    filled = parts = 0
    for _ in range(200):
        book, resting = random_book(rng), random_orders(rng)
        fills = quote_fills(book, resting, rule, 0.6)
        want = [oracle.rest_on_quotes(book, o, rule, MAX_AGE_US, 0.6) for o in resting]
        np.testing.assert_array_equal(as_rows(fills), want)
        filled += int(fills.state.sum())
        parts += int((fills.state * (fills.filled < [o[3] for o in resting])).sum())
    assert filled > 300, "books on which nothing fills would prove nothing"
    assert (parts > 20) == (rule != "touch")


@settings(max_examples=40, deadline=None)
@given(quotes.map(on_a_clock), orders, st.sampled_from([0.0, 0.3, 1.0]))
def test_a_penetration_is_a_queue_fill_and_that_a_touch_no_earlier_and_no_smaller(
    book, resting, traded_share
):
    touch, queue, through = (quote_fills(book, resting, rule, traded_share) for rule in RULES)
    for strict, loose in ((through, queue), (queue, touch)):
        assert (strict.state <= loose.state).all()
        assert (strict.filled <= loose.filled + 1e-12).all()
        whole = (strict.state == 1) & (strict.filled >= loose.filled)
        assert (loose.at_us[whole] <= strict.at_us[whole]).all()
        both = strict.state == 1
        np.testing.assert_array_equal(strict.price[both], loose.price[both])
    for fills in (touch, queue, through):
        for j, (arrive, until, side, quantity, limit, *_) in enumerate(resting):
            if fills.state[j]:
                assert arrive <= fills.at_us[j] <= until
                assert 0.0 < fills.filled[j] <= quantity
                assert np.isnan(limit) or fills.price[j] == limit
                assert side * (fills.mid[j] - fills.price[j]) > 0.0
            else:
                assert fills.filled[j] == 0.0
                assert np.isnan(fills.price[j])


bars = st.lists(
    st.tuples(
        mostly([99.0, 100.0, 101.0]),
        mostly([98.0, 99.0, 99.5, 100.0]),
        mostly([100.0, 100.5, 101.0, 102.0]),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: [(i * 60_000_000, (i + 1) * 60_000_000, *row) for i, row in enumerate(rows)])
bar_orders = st.lists(
    st.tuples(
        st.integers(0, 500_000_000),
        st.sampled_from([-1, 0, 60_000_000, 300_000_000, 300_000_000]),
        st.sampled_from([1, -1]),
        mostly(HALVES),
        st.sampled_from([np.nan, np.nan, 99.0, 100.5]),
    ).map(lambda o: (o[0], o[0] + o[1], *o[2:])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(bars, bar_orders, st.sampled_from([0.0, 40.0, 99.0]), st.sampled_from([0.5, 1.0]))
def test_bar_fills_equal_the_oracle_to_the_bit_on_hostile_bars(tape, resting, half, tick):
    whole = [np.array([b[i] for b in tape], dtype=np.int64) for i in (0, 1)]
    prices = [np.array([b[i] for b in tape], dtype=np.float64) for i in (2, 3, 4)]
    candles = kernel.Candles(*whole, *prices, np.array([b[5] for b in tape], dtype=np.bool_))
    for rule, number in RULES.items():
        padded = [(*o, 1.0, 1.0) for o in resting]
        got = as_rows(kernel.rest_on_bars(candles, sent(padded, half), number, tick))
        want = [oracle.rest_on_bars(tape, o, half, rule == "touch", tick) for o in resting]
        np.testing.assert_array_equal(got, want)


S = 1_000_000
NAN = float("nan")
#        second, bid x size, ask x size, age; a buy of 3 arrives at 1.5 s and joins the bid at 100
GOLDEN = [
    (1 * S, 100.0, 10.0, 101.0, 5.0, 0),  # 10 ahead
    (2 * S, 100.0, 12.0, 101.0, 5.0, 0),  # 2 joined behind: 10 ahead
    (3 * S, 100.0, 7.0, 101.0, 5.0, 0),  # 5 traded: 5 ahead
    (4 * S, 101.0, 4.0, 102.0, 5.0, 0),  # others better: 5 ahead
    (5 * S, 100.0, 4.0, 101.0, 5.0, 0),  # back at the price with 4 shown: 4 ahead
    (6 * S, 100.0, 1.0, 101.0, 5.0, 0),  # 3 traded: 1 ahead
    (7 * S, 99.0, 8.0, 101.0, 5.0, 0),  # 1 traded, the level is gone: nobody ahead, nothing filled
    (8 * S, 99.0, 8.0, 100.0, 2.0, 0),  # a seller at the price shows 2: they fill
    (9 * S, 98.0, 8.0, 99.0, 1.0, 0),  # the ask is past the price: the last 1 fills
]


def golden(rule, until, limit=NAN, multiple=1.0, book=GOLDEN, quantity=3.0, share=1.0):
    order = (1_500_000, until, 1, quantity, limit, multiple, 1.0)
    return as_rows(quote_fills(book, [order], rule, share))[0]


def test_touch_fills_the_whole_order_at_the_first_shrinking():
    assert golden("touch", 9 * S) == (1, 3 * S, 100.5, 100.0, 3.0)


@pytest.mark.parametrize("rule", ["queue", "penetration"])
def test_a_seller_at_the_price_fills_what_he_shows_and_one_past_it_the_rest(rule):
    # Two at 8 s, when the ask had last been 1 from the order; the third at 9 s.
    assert golden(rule, 8 * S) == (1, 8 * S, 100.5, 100.0, 2.0)
    assert golden(rule, 9 * S) == (1, 9 * S, 100.5, 100.0, 3.0)
    nothing = golden(rule, 8 * S - 1)
    assert (nothing[0], nothing[4]) == (0, 0.0)


# 2 ahead; 8 join behind; 4 trade, 2 of them beyond the queue; then half a lot more.
CHURN = [
    (1 * S, 100.0, 2.0, 101.0, 5.0, 0),
    (2 * S, 100.0, 10.0, 101.0, 5.0, 0),
    (3 * S, 100.0, 6.0, 101.0, 5.0, 0),
    (4 * S, 100.0, 5.5, 101.0, 5.0, 0),
]


@pytest.mark.parametrize(
    ("share", "multiple", "at", "filled"),
    [
        (1.0, 1.0, 4 * S, 2.5),  # 4 - 2, then 0.5
        (0.5, 1.0, 4 * S, 0.25),  # 2 - 2, then 0.25
        (1.0, 2.0, 4 * S, 0.5),  # 4 - 4, then 0.5
        (0.0, 1.0, 0, 0.0),  # cancels behind it alone
    ],
)
def test_what_trades_beyond_the_queue_fills_a_part_of_the_order(share, multiple, at, filled):
    got = golden("queue", 9 * S, multiple=multiple, book=CHURN, share=share)
    assert (got[1], got[4]) == (at, filled)
    assert golden("penetration", 9 * S, book=CHURN)[0] == 0


def test_an_order_behind_the_touch_joins_its_queue_when_the_touch_comes_down_to_it():
    book = [
        (1 * S, 101.0, 3.0, 102.0, 5.0, 0),
        (2 * S, 100.0, 4.0, 101.0, 5.0, 0),  # the touch is at the price: 4 ahead
        (3 * S, 100.0, 1.0, 101.0, 5.0, 0),  # 3 traded: 1 ahead
        (4 * S, 100.0, 6.0, 101.0, 5.0, 0),
        (5 * S, 100.0, 3.0, 101.0, 5.0, 0),  # 3 traded: 2 beyond the queue
    ]
    assert golden("touch", 9 * S, limit=100.0, book=book)[1] == 2 * S
    assert golden("queue", 9 * S, limit=100.0, book=book)[1::3] == (5 * S, 2.0)
    assert golden("penetration", 9 * S, limit=100.0, book=book)[0] == 0


def test_an_order_inside_the_spread_is_alone_and_one_that_would_take_is_not_sent():
    book = [
        (1 * S, 98.0, 3.0, 102.0, 5.0, 0),
        (2 * S, 98.0, 3.0, 101.0, 5.0, 0),
        (3 * S, 98.0, 3.0, 100.0, 9.0, 0),
    ]
    for rule in RULES:
        assert golden(rule, 9 * S, limit=100.0, book=book) == (1, 3 * S, 100.5, 100.0, 3.0)
        assert golden(rule, 9 * S, limit=102.0, book=book)[0] == 0


UNUSABLE = [
    (99.0, 1.0, 99.0, 1.0, 0),  # locked
    (99.5, 1.0, 99.0, 1.0, 0),  # crossed
    (98.0, 1.0, 99.0, 1.0, 9_000_000),  # stale
    (np.nan, 1.0, 99.0, 1.0, 0),
    (98.0, 0.0, 99.0, 1.0, 0),
    (98.0, 1.0, 99.0, np.inf, 0),
]


@pytest.mark.parametrize("bad", UNUSABLE)
def test_a_quote_that_is_no_price_fills_nothing_and_moves_no_queue(bad):
    calm = (100.0, 10.0, 101.0, 5.0, 0)
    book = [(1 * S, *calm), (2 * S, *bad), (3 * S, *calm)]
    for rule in RULES:
        assert golden(rule, 9 * S, book=book)[0] == 0
        # Neither is an order laid on it: it waits for the next one that is a price.
        late = golden(
            rule, 9 * S, book=[(1 * S, *bad), (2 * S, *calm), (3 * S, 97.0, 1.0, 99.0, 9.0, 0)]
        )
        assert late == (1, 3 * S, 100.5, 100.0, 3.0)


def test_an_empty_tape_fills_nothing():
    stamps, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    empty = kernel.Book(stamps, none, none, none, none, stamps)
    candles = kernel.Candles(stamps, stamps, none, none, none, np.zeros(0, dtype=np.bool_))
    order = sent([(0, S, 1, 1.0, NAN, 1.0, 1.0)])
    for rule in RULES.values():
        assert kernel.rest_on_quotes(empty, order, rule, MAX_AGE_US, 1.0).state[0] == 0
        assert kernel.rest_on_bars(candles, order, rule, 1.0).state[0] == 0


@settings(max_examples=25, deadline=None)
@given(quotes.map(on_a_clock), orders)
def test_buying_is_selling_seen_in_a_mirror(book, resting):
    # Below 0 there is no price, and above 200 in the mirror none either.
    book = [q if 0 < q[1] < 200 else (q[0], np.nan, q[2], np.nan, *q[4:]) for q in book]
    turned = [(q[0], 200 - q[3], q[4], 200 - q[1], q[2], q[5]) for q in book]
    sold = [(*o[:2], -o[2], o[3], 200 - o[4], *o[5:]) for o in resting]
    for rule in RULES:
        bought, other = quote_fills(book, resting, rule), quote_fills(turned, sold, rule)
        for name in ("state", "at_us", "filled"):
            np.testing.assert_array_equal(getattr(bought, name), getattr(other, name))
        np.testing.assert_array_equal(200 - bought.price, other.price)


@pytest.mark.parametrize(
    ("rule", "side", "expected"),
    [
        # Half a spread of 40 bps from 100 is 99.6, rounded down to 99.5: the low of minute 2 is at
        # it, that of minute 3 a tick beyond.
        ("touch", 1, (1, 120 * S, 100.0, 99.5, 3.0)),
        ("queue", 1, (1, 180 * S, 100.0, 99.5, 3.0)),
        ("penetration", 1, (1, 180 * S, 100.0, 99.5, 3.0)),
        # A sell rests at 100.4, rounded up to 100.5: the first minute's high is beyond it.
        ("touch", -1, (1, 60 * S, 100.0, 100.5, 3.0)),
        ("penetration", -1, (1, 60 * S, 100.0, 100.5, 3.0)),
    ],
)
def test_on_bars_a_low_at_the_price_touches_and_one_a_tick_beyond_penetrates(rule, side, expected):
    opened = np.arange(3) * 60 * S
    prices = ([100.0, 100.0, 100.0], [100.0, 99.5, 99.0], [101.0, 100.0, 100.0])
    candles = kernel.Candles(
        opened, opened + 60 * S, *(np.array(p) for p in prices), np.ones(3, dtype=np.bool_)
    )
    order = sent([(0, 180 * S, side, 3.0, NAN, 1.0, 1.0)], half=40.0)
    assert as_rows(kernel.rest_on_bars(candles, order, RULES[rule], 0.5))[0] == expected
