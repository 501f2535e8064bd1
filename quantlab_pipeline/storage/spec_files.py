"""The documents under `specs/`, read into their models with the line of every mistake.

Belongs here: finding a project's files and loading each into the model that its stage defines. The
models live beside the stages; what two documents must agree on is `spec_checks`' work. A document
is read anew whenever its file has changed, so that an edit is never overlooked.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from pydantic import ValidationError

from quantlab_pipeline.core.errors import SpecError
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
from quantlab_pipeline.storage.spec_errors import spec_error, suggestion
from quantlab_pipeline.storage.yaml_lines import Document, read_document

S = TypeVar("S", bound=Spec)

_REPOSITORY = Path(__file__).resolve().parents[2]


def load_spec(path: Path, model: type[S], shown: str | None = None) -> S:
    """The document at `path` as `model`. SpecError with `shown` (default: the path) and the line.

    Refused: a missing file, what is not YAML, a key given twice, an unknown or missing key, a value
    of the wrong type or outside its range.
    """
    return parse_spec(read_document(path, shown or str(path)), model)


def parse_spec(document: Document, model: type[S]) -> S:
    """`document` as `model`; SpecError as for `load_spec`."""
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise spec_error(document, model, error) from error


class Project:
    """A folder with `specs/`: markets, studies, scenarios, and one document per registry.

    `adhoc` is a second folder of markets and studies, which the command makes from a person's data.
    """

    def __init__(self, root: Path | None = None, adhoc: Path | None = None) -> None:
        """`root`, or the working directory, or where this package's own repository lies."""
        self.root = Path(root) if root is not None else _default_root()
        self.adhoc = adhoc

    @property
    def specs(self) -> Path:
        """The folder of all documents."""
        return self.root / "specs"

    def names(self, kind: str) -> list[str]:
        """Names of the documents of `kind` (markets, studies or scenarios), sorted."""
        folders = [self.specs, *([] if self.adhoc is None else [self.adhoc])]
        return sorted({path.stem for f in folders for path in (f / kind).glob("*.yaml")})

    def require_specs(self) -> None:
        """SpecError if this is no project at all."""
        if not self.specs.is_dir():
            raise SpecError(
                f"There is no specs folder in {self.root}.",
                "Go to your project's folder or name it with --project.",
                root=str(self.root),
            )

    def is_adhoc(self, market: str) -> bool:
        """Whether the market was made on the fly: nobody wrote its document or its instruments."""
        return self._place(f"markets/{market}")[0].parents[1] == self.adhoc

    def _place(self, name: str) -> tuple[Path, str]:
        """Where the document `name` lies, and what to call it."""
        own = self.specs / f"{name}.yaml"
        made = own if self.adhoc is None else self.adhoc / f"{name}.yaml"
        if own.exists() or not made.exists():
            return own, f"specs/{name}.yaml"
        return made, str(made)

    def read(self, name: str) -> Document:
        """The document `specs/<name>.yaml` with its lines, not yet of any model."""
        self.require_specs()
        path, shown = self._place(name)
        return _read(path, _version(path), shown)

    def document(self, name: str, model: type[S]) -> S:
        """The document `specs/<name>.yaml` as `model`."""
        self.read(name)
        path, shown = self._place(name)
        # Models are frozen: one serves everybody until its file changes.
        return cast("S", _parsed(path, _version(path), shown, model))

    def _named(self, kind: str, name: str, model: type[S]) -> S:
        names = self.names(kind)
        if name not in names and self.specs.is_dir():
            raise SpecError(
                f"No document specs/{kind}/{name}.yaml.",
                suggestion(name, names, kind),
                kind=kind,
                name=name,
            )
        document = self.read(f"{kind}/{name}")
        spec = self.document(f"{kind}/{name}", model)
        inside = getattr(spec, "name", name)
        if inside != name:
            line = document.line_of(("name",))
            raise SpecError(
                f"{document.shown}:{line}: `name` is {inside!r}, but the file is {name}.yaml.",
                "Give both one name.",
                file=document.shown,
                line=line,
            )
        return spec

    def market(self, name: str) -> MarketSpec:
        """The market `name`."""
        return self._named("markets", name, MarketSpec)

    def markets(self) -> list[MarketSpec]:
        """Every market, enabled or not, sorted by name."""
        return [self.market(name) for name in self.names("markets")]

    def study(self, name: str) -> StudySpec:
        """The study `name`."""
        return self._named("studies", name, StudySpec)

    def studies(self) -> list[StudySpec]:
        """Every study, sorted by name."""
        return [self.study(name) for name in self.names("studies")]

    def scenario(self, name: str, model: type[S]) -> S:
        """The scenario `name` as `model`, which the caller brings: storage knows no worlds."""
        return self._named("scenarios", name, model)

    def instruments(self) -> Instruments:
        """Ticks and lots of every known symbol."""
        return self.document("instruments", Instruments)

    def features(self) -> FeatureSpecs:
        """Every feature column."""
        return self.document("feature_specs", FeatureSpecs)

    def labels(self) -> LabelSpecs:
        """Every label and horizon."""
        return self.document("label_specs", LabelSpecs)

    def events(self) -> EventRegistry:
        """Every event type."""
        return self.document("event_registry", EventRegistry)

    def family(self, name: str = "candidate_family") -> CandidateFamily:
        """The candidate family of the document `name`."""
        return self.document(name, CandidateFamily)

    def costs(self) -> CostModel:
        """What trading costs, by profile."""
        return self.document("cost_model", CostModel)

    def backtest(self) -> BacktestSpec:
        """How a strategy is backtested and stressed."""
        return self.document("backtest", BacktestSpec)

    def walk_forward(self) -> WalkForwardSpec:
        """How a strategy is refitted and judged outside its fit."""
        return self.document("walk_forward", WalkForwardSpec)

    def portfolio(self) -> PortfolioSpec:
        """How strategies become one book."""
        return self.document("portfolio", PortfolioSpec)

    def gates(self) -> GatesSpec:
        """Every threshold of the seven gates."""
        return self.document("gates", GatesSpec)


Version = tuple[int, int, int] | None


def _version(path: Path) -> Version:
    """What tells one version of a file from another without reading it; None if it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=256)
def _read(path: Path, _: Version, shown: str) -> Document:
    return read_document(path, shown)


@lru_cache(maxsize=256)
def _parsed(path: Path, version: Version, shown: str, model: type[Spec]) -> Spec:
    return parse_spec(_read(path, version, shown), model)


def _default_root() -> Path:
    here = Path.cwd()
    return here if (here / "specs").is_dir() else _REPOSITORY
