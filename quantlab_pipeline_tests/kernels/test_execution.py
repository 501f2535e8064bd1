import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import execution as kernel
from quantlab_pipeline_tests.oracles import execution as oracle

LIMITS, DEPTH_SHARE = kernel.Limits(3_000_000, 2.0, 1.0, 6.0), 0.5
HOSTILE = st.sampled_from([np.nan, np.inf, 0.0, -1.0])


def book_of(quotes):
    columns = list(zip(*quotes, strict=True))
    whole = [np.array(columns[i], dtype=np.int64) for i in (0, 5)]
    bid, bid_qty, ask, ask_qty = (np.array(columns[i], dtype=np.float64) for i in (1, 2, 3, 4))
    return kernel.Book(whole[0], bid, bid_qty, ask, ask_qty, whole[1])


def orders_of(orders, half=0.0):
    n = len(orders)
    return kernel.Orders(
        np.array([o[0] for o in orders], dtype=np.int64),
        np.array([o[1] for o in orders], dtype=np.int8),
        np.array([o[2] for o in orders], dtype=np.float64),
        np.array([o[3] for o in orders], dtype=np.float64),
        np.full(n, half),
        np.array([o[4] for o in orders], dtype=np.int64),
        np.full(n, DEPTH_SHARE),
    )


def as_rows(fills):
    return list(zip(*(column.tolist() for column in fills), strict=True))


quotes = st.lists(
    st.tuples(
        st.floats(90, 110) | HOSTILE,
        st.floats(0.1, 5) | HOSTILE,
        st.floats(90, 110) | HOSTILE,
        st.floats(0.1, 5) | HOSTILE,
        st.integers(0, 4_000_000),
    ),
    min_size=1,
    max_size=25,
).map(lambda rows: [((i + 1) * 1_000_000, *row) for i, row in enumerate(rows)])
orders = st.lists(
    st.tuples(
        st.integers(0, 27_000_000),
        st.sampled_from([1, -1]),
        st.floats(0, 20),
        st.floats(0, 10) | st.just(np.nan),
        st.sampled_from([-1, 0, 2_000_000, 5_000_000]),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=200, deadline=None)
@given(quotes, orders)
def test_quote_fills_equal_the_oracle_on_hostile_books(book, sent):
    got = as_rows(kernel.fill_on_quotes(book_of(book), orders_of(sent), LIMITS))
    for fill, order in zip(got, sent, strict=True):
        want = oracle.take_quote(book, order, DEPTH_SHARE, LIMITS)
        np.testing.assert_allclose(fill, want, rtol=1e-14, equal_nan=True)


bars = st.lists(
    st.tuples(st.floats(90, 110) | HOSTILE, st.booleans()), min_size=1, max_size=20
).map(lambda rows: [(i * 1_000_000, *row) for i, row in enumerate(rows)])


@settings(max_examples=200, deadline=None)
@given(bars, orders, st.floats(0, 5))
def test_bar_fills_equal_the_oracle_on_hostile_bars(tape, sent, half):
    arrays = kernel.Bars(
        np.array([b[0] for b in tape], dtype=np.int64),
        np.array([b[1] for b in tape], dtype=np.float64),
        np.array([b[2] for b in tape], dtype=np.bool_),
    )
    got = as_rows(kernel.fill_on_bars(arrays, orders_of(sent, half), 1.5))
    for fill, order in zip(got, sent, strict=True):
        want = oracle.take_bar(tape, order, half, 1.5)
        np.testing.assert_allclose(fill, want, rtol=1e-14, equal_nan=True)


GOOD = (100.0, 1.0, 100.2, 1.0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        (100.2, 1.0, 100.2, 1.0, 0),  # locked
        (100.3, 1.0, 100.2, 1.0, 0),  # crossed
        (np.nan, 1.0, 100.2, 1.0, 0),
        (100.0, 0.0, 100.2, 1.0, 0),
        (100.0, 1.0, 100.2, 1.0, 9_000_000),  # stale
    ],
)
def test_an_unusable_quote_is_waited_through_and_not_traded(bad):
    book = book_of([(1_000_000, *bad), (2_000_000, *bad), (3_000_000, *GOOD)])
    fills = kernel.fill_on_quotes(book, orders_of([(1_500_000, 1, 0.1, 0.0, 5_000_000)]), LIMITS)
    assert fills.at_us[0] == 3_000_000
    assert fills.price[0] == 100.2
    late = kernel.fill_on_quotes(book, orders_of([(1_500_000, 1, 0.1, 0.0, 1_000_000)]), LIMITS)
    assert late.state[0] == kernel.UNFILLED


def test_a_quote_of_dust_is_no_price_and_a_forced_order_walks_to_the_limit_at_most():
    """Half of what is shown is there; 6 bps at 2 per depth are reached at 0.127 of the size."""
    least = kernel.least_size(1.0, DEPTH_SHARE, LIMITS)
    assert least * DEPTH_SHARE == pytest.approx(4 - np.sqrt(15), rel=1e-12)
    for size, at_us in ((0.999 * least, 2_000_000), (1.001 * least, 1_000_000)):
        book = book_of([(1_000_000, 100.0, 1.0, 100.2, size, 0), (2_000_000, *GOOD)])
        sent = orders_of([(1_000_000, 1, 1.0, 0.0, 5_000_000)])
        assert kernel.fill_on_quotes(book, sent, LIMITS).at_us[0] == at_us
    dust = book_of([(1_000_000, 100.0, 1e-9, 100.2, 1.0, 0)])
    (forced,) = as_rows(kernel.fill_on_quotes(dust, orders_of([(1, -1, 1.0, 0.0, -1)]), LIMITS))
    assert forced[0] == kernel.FORCED
    assert forced[4] == pytest.approx(100.0 * (1 - 6e-4))


def test_a_buyer_takes_the_ask_and_a_seller_the_bid_standing_at_arrival():
    book = book_of([(1_000_000, *GOOD), (2_000_000, 101.0, 1.0, 101.2, 1.0, 0)])
    sent = orders_of([(1_999_999, 1, 0.1, 0.0, 0), (1_999_999, -1, 0.1, 0.0, 0)])
    fills = kernel.fill_on_quotes(book, sent, LIMITS)
    assert fills.price.tolist() == [100.2, 100.0]
    assert fills.at_us.tolist() == [1_999_999, 1_999_999]


def test_size_beyond_the_depth_walks_and_never_pays_less_than_the_impact():
    book = book_of([(1_000_000, *GOOD)])
    # depth 0.5, quantity 1.5: excess 1.0, mean walk of the excess 2 bps, of the whole 4/3 bps
    sent = orders_of([(1_000_000, 1, 1.5, 0.0, 0), (1_000_000, 1, 1.5, 3.0, 0)])
    fills = kernel.fill_on_quotes(book, sent, LIMITS)
    concession = (fills.price / fills.touch - 1) * 1e4
    np.testing.assert_allclose(concession, [4 / 3, 3.0], rtol=1e-9)
