"""Rows of executions that tests make up, and a row of results that gate B passes."""

from __future__ import annotations

from typing import Any

from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.research.bridge.results import result_of
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.research.bridge.ways import PASSIVE, Way, ways_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline_tests.simulation.builders import cost_model

THRESHOLDS = BThresholds()
Row = dict[str, Any]


def costs_of(order: str = "taker", **more: Any) -> CostModel:
    """A cost model with Y = 0.7 that trades by `order`."""
    model = cost_model(impact_y=0.7, **more)
    execution = model.execution.model_copy(update={"order": order})
    return model.model_copy(update={"execution": execution})


def execution(way: Way, **figures: Any) -> Row:
    """A way that earns 10 bps on 100 trades, with room for a hundred times its size.

    Another `net_bps` comes of another slippage; None is a way without a trade.
    """
    net = figures.pop("net_bps", 10.0)
    row: Row = dict.fromkeys(BRIDGE_EXECUTIONS.names)
    row |= {
        "strategy_id": "s", "way": way.name, "entry": way.settings.entry,
        "latency_s": way.settings.latency_s, "scenario": way.scenario,
        "cost_multiple": way.cost_multiple, "judged": way.judged,
        "n_intents": 100, "n_trades": 0, "n_not_filled": 100, "n_forced": 0,
        "n_unknown_funding": 0, "n_skipped": 0, "fill_rate": 0.0, "active_days": 0,
        "records_head": GENESIS,
    }  # fmt: skip
    if net is not None:
        slippage = 10.0 - net
        row |= {
            "n_trades": 100, "n_not_filled": 0, "fill_rate": 1.0, "active_days": 20,
            "gross_bps": 19.0, "spread_bps": 1.0, "slippage_bps": slippage, "fee_bps": 8.0,
            "net_bps": 19.0 - way.cost_multiple * (9.0 + slippage),
            "funding_bps": 0.0, "latency_bps": 0.0, "se_bps": 2.0, "edge_se_bps": 2.0,
            **{f"markout_{s}s_bps": -0.5 for s in (1, 5, 60)},
            "turnover_per_day": 4.0, "notional_usd": 10_000.0, "sigma_d_bps": 400.0,
            "volume_usd": 1e9, "measured_share": 1.0,
        }  # fmt: skip
    return {**row, **figures}


def executions(costs: CostModel, by_rule: dict[str, Row] | None = None) -> list[Row]:
    """A row for every way of `costs`; `by_rule` changes figures of all ways of an entry rule."""
    return [execution(w, **(by_rule or {}).get(w.settings.entry, {})) for w in ways_of(costs)]


def passive(**by_rule: Row) -> Row:
    """The row of results of a passive strategy whose rules have these figures."""
    costs = costs_of("passive")
    rows = executions(costs, {rule: by_rule.get(rule, {}) for rule in PASSIVE})
    return result_of(rows, costs, THRESHOLDS)


def honest(thresholds: BThresholds = THRESHOLDS, **figures: Any) -> Row:
    """The row of a taker that gate B passes, but for the `figures` of all its ways."""
    costs = costs_of()
    return result_of(executions(costs, {"taker": figures}), costs, thresholds)
