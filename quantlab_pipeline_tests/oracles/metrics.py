"""Slow twin of `simulation.metrics`: the textbook's formulas in decimals of fifty digits, in loops.

A figure is a Decimal, or the reason why there is none.
"""

from decimal import Decimal, getcontext

getcontext().prec = 50
ZERO = Decimal(0)


def mean(x):
    return sum(x, ZERO) / len(x)


def sample_deviation(x):
    m = mean(x)
    return (sum(((v - m) ** 2 for v in x), ZERO) / (len(x) - 1)).sqrt()


def equity(x, start=ZERO):
    path = [start]
    for v in x:
        path.append(path[-1] + v)
    return path


def falls(path):
    """(fall from the highest value so far, that value, place) of every value of the path."""
    return [(max(path[: i + 1]) - v, max(path[: i + 1]), i) for i, v in enumerate(path)]


def sharpe(x, year=Decimal(365)):
    deviation = sample_deviation(x)
    return mean(x) / deviation * year.sqrt() if deviation else "NO_VARIATION"


def sortino(x):
    below = mean([min(v, ZERO) ** 2 for v in x]).sqrt()
    return mean(x) / below * Decimal(365).sqrt() if below else "NO_LOSING_DAY"


def max_drawdown(x):
    return max(fall for fall, _, _ in falls(equity(x)))


def time_to_recovery(x):
    path = equity(x)
    deepest = max(fall for fall, _, _ in falls(path))
    if deepest == 0:
        return "NO_DRAWDOWN"
    peak, trough = next((peak, i) for fall, peak, i in falls(path) if fall == deepest)
    after = [i for i, v in enumerate(path) if i > trough and v >= peak]
    return Decimal(after[0] - trough) if after else "NOT_RECOVERED"


def win_rate(x):
    return Decimal(sum(v > 0 for v in x)) / len(x)


def profit_factor(x):
    lost = -sum((v for v in x if v < 0), ZERO)
    return sum((v for v in x if v > 0), ZERO) / lost if lost else "NO_LOSING_TRADE"


def tail_5pct(x):
    ordered, place = sorted(x), Decimal("0.05") * (len(x) - 1)
    low = int(place)
    high = min(low + 1, len(x) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def worst_1pct(x):
    return mean(sorted(x)[: max(1, len(x) // 100)])


def legacy_sharpe_252(x):
    return sharpe(x, Decimal(252))


def legacy_sortino_losses(x):
    gains, losses = [v for v in x if v > 0], [v for v in x if v < 0]
    if not gains:
        return "NO_WINNING_DAY"
    if len(losses) < 2:
        return "FEWER_THAN_2_LOSING_DAYS"
    deviation = sample_deviation(losses)
    return mean(gains) / deviation if deviation else "NO_VARIATION_OF_LOSSES"


def legacy_drawdown_of_peak(x):
    return max(fall / peak for fall, peak, _ in falls(equity(x, Decimal(1))))


FIGURES = (
    sharpe,
    sortino,
    max_drawdown,
    time_to_recovery,
    win_rate,
    profit_factor,
    tail_5pct,
    worst_1pct,
    legacy_sharpe_252,
    legacy_sortino_losses,
    legacy_drawdown_of_peak,
)
