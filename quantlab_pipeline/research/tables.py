"""Every table of the lake: its grain, its partitions, what it reads, and the gate that judges it.

The order is the chain's. `storage` keeps tables by this list, `defs` makes one asset a market from
each entry. What a table's columns mean stands in its stage's `schema.py`; how it is made, in its
stage's verbs.
"""

from __future__ import annotations

from quantlab_pipeline.core.code_hash import ALONE
from quantlab_pipeline.core.columns import TableSchema
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.research.backtest.schema import (
    ASSUMPTION_LEDGER,
    BACKTEST_RETURNS,
    BACKTEST_RISK,
    BACKTEST_TRADES,
    BLUEPRINTS,
    STRESS_RESULTS,
)
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS, BRIDGE_RESULTS
from quantlab_pipeline.research.events.schema import EVENT_QUALITY, EVENTS
from quantlab_pipeline.research.features.schema import features_schema
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.labels.schema import LABELS_FWD
from quantlab_pipeline.research.market_data import schema as market
from quantlab_pipeline.research.portfolio.schema import PORTFOLIO
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES
from quantlab_pipeline.research.validation.study_schema import CANDIDATE_STUDIES
from quantlab_pipeline.research.walk_forward.schema import WALKFORWARD

LABEL_LOOKAHEAD_DAYS = 2
COOLDOWN_LOOKBACK_DAYS = 1
LIQUIDITY_LOOKBACK_DAYS = 7

BEFORE_HOLDOUT = (
    "event_quality",
    "phase2_candidates",
    "candidate_studies",
    "bridge_executions",
    "bridge_results",
)
"""Study tables that may read only the days before the study's holdout."""

_SOURCES = "quantlab_pipeline.sources"
_PARSERS = tuple(
    f"{_SOURCES}.{name}"
    for name in (
        "archive",
        "lean",
        "freqtrade",
        f"world{ALONE}",
        "capture.source",
        f"binance{ALONE}",
        f"remote.binance_rest{ALONE}",
        f"remote.pages{ALONE}",
    )
)
"""What turns landed bytes into rows. How bytes are had is not part of it: neither a better download
nor another generator makes a day stale whose bytes are the same."""

_STAGES = "quantlab_pipeline.research"
_GLUE = "quantlab_pipeline.defs"
_MONEY = ("costs", "instruments", "family", "study")

GATE_MODULES = {
    gate: (f"{_STAGES}.{stage}.gate", f"{_GLUE}.{stage}.assets{ALONE}")
    for gate, stage in (
        (Gate.D0, "market_data"),
        (Gate.PIT1, "features"),
        (Gate.E1, "events"),
        (Gate.V1, "validation"),
        (Gate.B, "bridge"),
        (Gate.S, "walk_forward"),
        (Gate.P, "portfolio"),
    )
}
"""The modules whose code gives each gate's verdicts: the gate with all it imports, its glue."""

JUDGED_TABLE = {
    Gate.D0: "qa_report",
    Gate.PIT1: "features_pt",
    Gate.E1: "event_quality",
    Gate.V1: "phase2_candidates",
    Gate.B: "bridge_results",
    Gate.S: "walkforward",
    Gate.P: "portfolio",
}
"""The table whose items each gate judges."""

_GRAINS = {
    "bars_1m_perp": "One row per (symbol, minute) of the perpetual. An absent row is a gap, which "
    "D0 counts; a minute without trades is a row with zero volume. Read by features and labels.",
    "bars_1m_spot": "One row per (symbol, minute) of the spot pair. Read for the basis.",
    "funding": "One row per (symbol, settlement). The rate may be used from its raw stamp on.",
    "mark_index": "One row per (symbol, minute): mark and index at the minute's close.",
    "open_interest": "One row per (symbol, 5-minute bucket), known some time after its end.",
    "tob_snapshots": "One row per (symbol, leg, grid second): the last quote and its age, valid or "
    "not. Read by the minute aggregate and by the bridge.",
    "tob_1m_agg": "One row per (symbol, leg, minute): spread, depth, imbalance of valid seconds.",
    "basis_state": "One row per (symbol, minute) on which both prices are known at once.",
    "funding_state": "One row per (symbol, minute): the rate that the next settlement is expected "
    "to have, the last one that was settled, when the next is due; each as known then.",
    "qa_report": "One row per (symbol, dataset, check): how much is wrong and where; 0 was looked "
    "for and not found. D0 judges it.",
    "universe": "One row per member symbol of the day. An absent symbol failed D0 or had no data. "
    "Read by features.",
    "features_pt": "One row per (symbol, minute) of the universe: what could be known at `ts`. "
    "Null is warm-up or missing input. Read by events and validation.",
    "labels_fwd": "One row per (symbol, minute): log return and extremes from the first price "
    "after the decision to the end of each horizon, on the mid (else the close: assumed) and on "
    "the mark, the return also to the final price of a symbol that ended. A horizon that has not "
    "resolved is null, and no reader may take it for a value.",
    "events": "One row per (symbol, event type, occurrence), from features alone, so that the "
    "newest day has events. Read by validation.",
    "event_quality": "One row per event type of the registry: prevalence, overlap, join.",
    "phase2_candidates": "One row per (event type, bucket, horizon, template, side): its effect "
    "net of cost and whether it stands. All are counted, also those that could not be tested.",
    "candidate_studies": "One row per survivor of V1 and per nearest miss: its path, days, slices, "
    "other costs and sizes, to explain the verdict; nothing is made from it. An absent candidate "
    "was not tested or is not near. Read by the candidates' pages.",
    "bridge_executions": "One row per (V1 survivor, way): its figures when entered by one rule, at "
    "one latency, at one level of costs. A null figure had no trade to come from. Read by "
    "bridge_results.",
    "bridge_results": "One row per V1 survivor: its worst judged execution, what the others say "
    "beside it, capacity, and gate B's reasons.",
    "blueprints": "One row per B survivor: an executable strategy, as a document.",
    "backtest_returns": "One row per (strategy, day): return of a fixed notional.",
    "backtest_trades": "One row per intent of a strategy: both decisions, both fills, every cost. "
    "An intent that became no trade has a status and no money. Read by the strategies' pages.",
    "backtest_risk": "One row per (strategy, segment): ratios, falls, tails, and how bad they "
    "could well have been. Read by the strategies' pages.",
    "stress_results": "One row per (strategy, stress or neighbour, segment): what remains under "
    "worse conditions, and beside the rule. Read by walkforward.",
    "assumption_ledger": "One row per (strategy, assumption): P&L lost when it alone is made "
    "conservative; `all` makes every one so. Read by the strategies' pages.",
    "walkforward": "One row per strategy: refit in each train window, judged outside it.",
    "portfolio": "One row per strategy with its weight; the last gate judges the whole.",
}


def _reads(*names: str, lookback: int = 0, lookahead: int = 0) -> tuple[Read, ...]:
    return tuple(Read(name, lookback, lookahead) for name in names)


# One day back: trailing liquidity is known from a study's first minute on.
_PRICES = (
    *_reads("bars_1m_perp", lookback=1),
    *_reads("tob_1m_agg", "funding", "mark_index"),
)
_SIGNALS = _reads("events", "features_pt")


def _market_table(
    schema: TableSchema, reads: tuple[Read, ...] = (), specs: tuple[str, ...] = ()
) -> TableSpec:
    landed = not reads
    own = f"{_STAGES}.market_data"
    return TableSpec(
        schema.name,
        "market_data",
        _GRAINS[schema.name],
        "day",
        schema,
        reads,
        Gate.D0,
        "symbol",
        (*(_PARSERS if landed else ()), own, f"{_GLUE}.market_data.assets{ALONE}"),
        specs,
        may_be_empty=True,
    )


def _market_tables() -> list[TableSpec]:
    landed = [_market_table(s, specs=("market",)) for s in market.LANDED]
    aggregate = _market_table(market.TOB_1M_AGG, _reads("tob_snapshots"), ("market",))
    basis = _market_table(
        market.BASIS_STATE, _reads("tob_snapshots", "bars_1m_perp", "bars_1m_spot")
    )
    # The settlement before, and the premium since then, may lie in the day before.
    state = _market_table(market.FUNDING_STATE, _reads("funding", "mark_index", lookback=1))
    examined = [s.name for s in market.MARKET_DATA if s.name != "bars_1m_perp"]
    # The day before is the reference of a price series that has no peer.
    datasets = (*_reads("bars_1m_perp", lookback=1), *_reads(*examined))
    report = _market_table(market.QA_REPORT, datasets, ("market", "gate D0"))
    bars = _reads("bars_1m_perp", lookback=LIQUIDITY_LOOKBACK_DAYS)
    universe = _market_table(market.UNIVERSE, (*_reads("qa_report"), *bars))
    return [*landed, aggregate, basis, state, report, universe]


def _research_day_tables(features: FeatureSpecs) -> list[TableSpec]:
    inputs = [Read(name, days) for name, days in features.lookback_days_by_table.items()]
    features_pt = TableSpec(
        "features_pt",
        "features",
        _GRAINS["features_pt"],
        "day",
        features_schema(features),
        (*_reads("universe"), *inputs),
        Gate.PIT1,
        "*column",
        (f"{_STAGES}.features.build", f"{_GLUE}.features.assets{ALONE}"),
        ("features",),
        may_be_empty=True,
    )
    labels_fwd = TableSpec(
        "labels_fwd",
        "labels",
        _GRAINS["labels_fwd"],
        "day",
        LABELS_FWD,
        _reads("bars_1m_perp", "tob_1m_agg", "mark_index", lookahead=LABEL_LOOKAHEAD_DAYS),
        modules=(f"{_STAGES}.labels", f"{_GLUE}.labels.assets{ALONE}"),
        specs=("labels",),
        may_be_empty=True,
    )
    events = TableSpec(
        "events",
        "events",
        _GRAINS["events"],
        "day",
        EVENTS,
        _reads("features_pt", lookback=COOLDOWN_LOOKBACK_DAYS),
        modules=(f"{_STAGES}.events", f"{_GLUE}.events.assets{ALONE}"),
        specs=("events",),
        may_be_empty=True,
    )
    return [features_pt, labels_fwd, events]


def _study_table(
    schema: TableSchema,
    stage: str,
    reads: tuple[Read, ...],
    specs: tuple[str, ...],
    gate: Gate | None = None,
    item_column: str | None = None,
    *,
    regardless: tuple[str, ...] = (),
    verbs: tuple[str, ...] = (),
) -> TableSpec:
    return TableSpec(
        schema.name,
        stage,
        _GRAINS[schema.name],
        "study",
        schema,
        reads,
        gate,
        item_column,
        (f"{_STAGES}.{stage}", f"{_GLUE}.{stage}.assets{ALONE}", *verbs),
        specs,
        may_be_empty=True,
        regardless=regardless,
    )


def _study_tables() -> list[TableSpec]:
    quality = _reads("events", "features_pt", "labels_fwd")
    candidates = _reads("event_quality", "events", "features_pt", "labels_fwd") + _PRICES
    executed = _reads("phase2_candidates", "tob_snapshots") + _SIGNALS + _PRICES
    bridge = _reads("bridge_executions", "phase2_candidates")
    blueprints = _reads("bridge_results", "phase2_candidates")
    returns = _reads("blueprints") + _SIGNALS + _PRICES
    returns += _reads("phase2_candidates", "tob_snapshots")
    risk = _reads("backtest_returns", "backtest_trades") + returns
    # Moved definitions of events are looked for as the events were: from the day before on.
    stress = tuple(r for r in returns if r.table != "features_pt")
    stress += _reads("features_pt", lookback=COOLDOWN_LOOKBACK_DAYS)
    folds = _reads("backtest_returns", "stress_results") + returns
    weights = _reads("walkforward", "backtest_returns", "backtest_trades", "bridge_results")
    return [
        _study_table(EVENT_QUALITY, "events", quality, ("events", "study"), Gate.E1, "event_type"),
        _study_table(
            PHASE2_CANDIDATES,
            "validation",
            candidates,
            ("family", "costs", "study", "gate V1", "V1 flags", "V1 companions", "trial budget"),
            Gate.V1,
            "candidate_id",
        ),
        _study_table(
            CANDIDATE_STUDIES,
            "validation",
            _reads("phase2_candidates") + candidates,
            ("family", "costs", "study", "gate V1"),
            regardless=("phase2_candidates",),
        ),
        _study_table(BRIDGE_EXECUTIONS, "bridge", executed, _MONEY),
        _study_table(
            BRIDGE_RESULTS, "bridge", bridge, ("costs", "study", "gate B"), Gate.B, "strategy_id"
        ),
        _study_table(BLUEPRINTS, "backtest", blueprints, (*_MONEY, "backtest")),
        _study_table(BACKTEST_RETURNS, "backtest", returns, (*_MONEY, "backtest")),
        _study_table(BACKTEST_TRADES, "backtest", returns, (*_MONEY, "backtest")),
        _study_table(BACKTEST_RISK, "backtest", risk, (*_MONEY, "backtest")),
        _study_table(
            STRESS_RESULTS,
            "backtest",
            stress,
            (*_MONEY, "backtest", "events", "features"),
            verbs=(f"{_STAGES}.events.detect", f"{_GLUE}.backtest.moved{ALONE}"),
        ),
        _study_table(ASSUMPTION_LEDGER, "backtest", returns, (*_MONEY, "backtest")),
        _study_table(
            WALKFORWARD,
            "walk_forward",
            folds,
            (*_MONEY, "events", "walk_forward"),
            Gate.S,
            "strategy_id",
        ),
        _study_table(
            PORTFOLIO, "portfolio", weights, ("portfolio", "costs", "study"), Gate.P, "portfolio_id"
        ),
    ]


def all_tables(features: FeatureSpecs) -> dict[str, TableSpec]:
    """Every table by name, in the order of the chain. `features` decide `features_pt`'s columns."""
    specs = [*_market_tables(), *_research_day_tables(features), *_study_tables()]
    return {spec.name: spec for spec in specs}
