"""The venue's integer money: fees, funding, valuation, and the laws that every event must keep.

Belongs here: arithmetic on whole units, exact, rounded half to even where a fraction is left. Not
here: which order trades (`venue_match`). Oracle: `quantlab_pipeline_tests/oracles/venue.py`.
"""

from __future__ import annotations

from numba import njit

from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue_words import I64

_ONE = 100_000_000
_NANO = 1_000_000_000
_HALF = _NANO * _NANO // 2


@njit(cache=True)
def portion(value: int, rate_e8: int) -> int:
    """`value` x `rate_e8` x 1e-8, half to even; exact for |value| < 2^62 and |rate| <= 1."""
    part = (value % _ONE) * rate_e8
    out = (value // _ONE) * rate_e8 + part // _ONE
    left = 2 * (part % _ONE)
    if left > _ONE or (left == _ONE and out % 2 != 0):
        out += 1
    return out


@njit(cache=True, inline="always")
def times_fixed(lots: int, units: int, e9: int, e18: int) -> int:
    """`lots` x (`units` + `e9` 1e-9 + `e18` 1e-18), half to even; exact for |lots| < 9e9."""
    low = lots * e18
    middle = lots * e9 + low // _NANO
    out = lots * units + middle // _NANO
    left = (middle % _NANO) * _NANO + low % _NANO
    if left > _HALF or (left == _HALF and out % 2 != 0):
        out += 1
    return out


@njit(cache=True, inline="always")
def revalue(state: I64, units: int) -> None:
    """Value each lot at `units` from now on; equity moves by position x change."""
    state[w.EQUITY] += state[w.LOTS] * (units - state[w.WORTH])
    state[w.WORTH] = units


@njit(cache=True, inline="always")
def conserved(state: I64) -> bool:
    """Cash + position value is equity, fills add up to the position, spot owes nothing.

    Equity is kept by its own sum (price moves, fees and funding), so that this can fail.
    """
    cash, lots = state[w.CASH], state[w.LOTS]
    whole = cash + lots * state[w.WORTH] == state[w.EQUITY] and state[w.NET] == lots
    return bool(whole and (state[w.MARGIN] != 0 or (cash >= 0 and lots >= 0)))


@njit(cache=True, inline="always")
def affordable(state: I64, lots: int, price: int) -> bool:
    """Whether cash covers buying `lots` > 0 at `price` with a taker's fee."""
    value = lots * price * state[w.UNIT]
    return bool(value + portion(value, state[w.TAKER]) <= state[w.CASH])


@njit(cache=True, inline="always")
def margin_covers(state: I64, lots: int, rate_e8: int) -> bool:
    """Whether equity at the mark is at least `rate_e8` of a position of `lots` at the mark."""
    needed = portion(abs(lots) * state[w.MARK], rate_e8)
    return bool(state[w.CASH] + state[w.LOTS] * state[w.MARK] >= needed)
