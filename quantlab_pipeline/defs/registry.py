"""Which body makes which table and gives which gate's verdicts: the stages' lists, put together."""

from __future__ import annotations

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.backtest import assets as backtest
from quantlab_pipeline.defs.bridge import assets as bridge
from quantlab_pipeline.defs.events import assets as events
from quantlab_pipeline.defs.features import assets as features
from quantlab_pipeline.defs.labels import assets as labels
from quantlab_pipeline.defs.market_data import assets as market_data
from quantlab_pipeline.defs.market_data.landing import changed_days
from quantlab_pipeline.defs.portfolio import assets as portfolio
from quantlab_pipeline.defs.stage_run import Body, GateBody, Renewed
from quantlab_pipeline.defs.validation import assets as validation
from quantlab_pipeline.defs.walk_forward import assets as walk_forward

BODIES: dict[str, Body] = {
    **market_data.BODIES,
    **features.BODIES,
    **labels.BODIES,
    **events.BODIES,
    **validation.BODIES,
    **bridge.BODIES,
    **backtest.BODIES,
    **walk_forward.BODIES,
    **portfolio.BODIES,
}

GATES: dict[Gate, GateBody] = {
    **market_data.GATES,
    **features.GATES,
    **events.GATES,
    **validation.GATES,
    **bridge.GATES,
    **walk_forward.GATES,
    **portfolio.GATES,
}

RENEWED: dict[str, Renewed] = dict.fromkeys(market_data.LANDED, changed_days)
"""Tables whose days a source may send anew."""
