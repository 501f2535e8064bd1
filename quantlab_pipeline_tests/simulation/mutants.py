"""A broken engine for planted truths: orders that reach the venue before they could."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantlab_pipeline.simulation.degradation import Conditions, conditions


def sooner(by_us: int) -> Callable[..., Conditions]:
    """`degradation.conditions` with every order `by_us` faster, even before its decision."""

    def broken(*args: Any) -> Conditions:
        true = conditions(*args)
        return true._replace(latency_us=true.latency_us - by_us)

    return broken
