"""The ways in which the bridge runs every survivor, and which of them gate B must be passed under.

A way is an entry rule, a latency and a scenario. How a strategy enters is the cost model's choice
(`execution.order`). A taker is judged as a taker at every latency, and the passive bracket is run
beside it to be reported. A passive strategy is judged under touch, queue and penetration at every
latency, for nobody knows where in the queue it stands: it passes on the worst of the bracket, and
the taker is reported. Scenarios (costs times m, every moment stressed) are run for the judged
rules; none of them is judged itself, but a threshold of gate B may ask for what they leave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantlab_pipeline.simulation.costs import CostModel, CostScale
from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline.simulation.fills import FillRule

Row = dict[str, Any]
"""One row of `bridge_executions`."""

AS_IT_IS, STRESSED = "as_is", "stressed"
PASSIVE: tuple[FillRule, ...] = ("touch", "queue", "penetration")
RULES: tuple[FillRule, ...] = ("taker", *PASSIVE)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run. `cost_multiple` is of fee, spread and impact."""

    settings: RunSettings
    scenario: str
    judged: bool
    cost_multiple: float = 1.0

    @property
    def name(self) -> str:
        """`entry.latency.scenario`, unique among the ways of one cost model."""
        return f"{self.settings.entry}.{self.settings.latency_s:g}s.{self.scenario}"


def ways_of(costs: CostModel) -> list[Way]:
    """All ways of a cost model: every rule as it is, and the judged ones' scenarios."""
    judged_rules = ("taker",) if costs.execution.order == "taker" else PASSIVE
    ways = []
    for entry in RULES:
        for latency_s in costs.execution.latency.latency_s:
            plain = RunSettings(latency_s, costs.execution.profile, entry=entry)
            judged = entry in judged_rules
            ways.append(Way(plain, AS_IT_IS, judged))
            if judged:
                ways += _scenarios(plain, costs)
    return ways


def _scenarios(plain: RunSettings, costs: CostModel) -> list[Way]:
    def scaled(multiple: float) -> RunSettings:
        scale = CostScale(fee=multiple, spread=multiple, impact=multiple)
        return RunSettings(plain.latency_s, plain.profile, scale, entry=plain.entry)

    stressed = RunSettings(plain.latency_s, plain.profile, entry=plain.entry, stressed=True)
    return [
        *(
            Way(scaled(m), f"costs_x{m:g}", judged=False, cost_multiple=m)
            for m in costs.execution.cost_multiples
        ),
        Way(stressed, STRESSED, judged=False),
    ]


def worst_judged(rows: Sequence[Row]) -> Row:
    """The judged row with the lowest mean net; one without a trade is worse than any with one.

    Of equals the faster one, then by name; without any trade at all it is the slowest.
    """

    def rank(row: Row) -> tuple[float, float, str]:
        if row["net_bps"] is None:
            return -math.inf, -row["latency_s"], row["way"]
        return row["net_bps"], row["latency_s"], row["way"]

    return min((row for row in rows if row["judged"]), key=rank)
