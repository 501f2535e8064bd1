"""Every kind of document under `specs/`, its model, and the JSON Schema that editors read.

Run as a module (`make schemas`) it writes `specs/schemas/` anew. It lives with the tests because it
is the one place that knows both the stages' models and the worlds'.
"""

from __future__ import annotations

import json
from pathlib import Path

from quantlab_pipeline.core.instruments import Instruments
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.backtest.spec import BacktestSpec
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.gates import GatesSpec
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.portfolio.spec import PortfolioSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.research.walk_forward.spec import WalkForwardSpec
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.worlds.spec import Scenario

SPECS = Path(__file__).resolve().parents[1] / "specs"
SCHEMAS = SPECS / "schemas"

MODELS: dict[str, type[Spec]] = {
    "backtest": BacktestSpec,
    "candidate_family": CandidateFamily,
    "cost_model": CostModel,
    "event_registry": EventRegistry,
    "feature_specs": FeatureSpecs,
    "gates": GatesSpec,
    "instruments": Instruments,
    "label_specs": LabelSpecs,
    "market": MarketSpec,
    "portfolio": PortfolioSpec,
    "scenario": Scenario,
    "study": StudySpec,
    "walk_forward": WalkForwardSpec,
}
FOLDERS = {"markets": "market", "studies": "study", "scenarios": "scenario"}


def kind_of(document: Path) -> str:
    """The kind of a document, from its folder or, at the top of `specs/`, from its name."""
    return FOLDERS.get(document.parent.name, document.stem)


def schema_text(kind: str) -> str:
    """The JSON Schema of `kind`, as its file holds it."""
    schema = MODELS[kind].model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_schemas() -> None:
    """Write every schema; remove those whose kind is gone."""
    SCHEMAS.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.schema.json"):
        if path.name.removesuffix(".schema.json") not in MODELS:
            path.unlink()
    for kind in MODELS:
        (SCHEMAS / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
