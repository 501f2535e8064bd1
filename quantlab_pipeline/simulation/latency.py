"""Latency: how long after a decision an order can meet the book.

One named model: a constant delay, the same on entry and exit, `stress_multiplier` times as long for
a trade that was decided under stress (`degradation`). Conditions: the venue answers, clocks agree,
and a queue at the gateway is no worse than the multiplier. A fill that uses the quote standing
after the delay already pays for the delay; no further latency slippage is added.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from quantlab_pipeline.core.spec import Spec


class LatencyModel(Spec):
    """Constant delays to try, in seconds, rising; results are judged at the worst of them."""

    latency_s: tuple[float, ...] = Field(default=(1.0, 2.0, 5.0), min_length=1)
    stress_multiplier: float = Field(default=2.0, ge=1)

    @field_validator("latency_s")
    @classmethod
    def _rising_and_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or value[0] <= 0:
            raise ValueError("latency_s must be positive and rise strictly")
        return value

    @property
    def fastest_s(self) -> float:
        """The smallest delay."""
        return self.latency_s[0]

    @property
    def slowest_s(self) -> float:
        """The largest delay."""
        return self.latency_s[-1]


def share_left(latency_s: float, half_life_s: float) -> float:
    """Share of an alpha with exponential decay that is left after the delay: 0.5^(L/h)."""
    return float(0.5 ** (latency_s / half_life_s))
