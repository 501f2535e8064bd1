"""What two documents must agree on: features that events read, markets that studies name.

Belongs here: agreement between documents. What one document alone must be, its model says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.spec_errors import suggestion
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.yaml_lines import Document


def check_documents(project: Project) -> None:
    """Raise the first SpecError of `disagreements`; every document is read on the way."""
    for error in disagreements(project):
        raise error


def disagreements(project: Project) -> Iterable[SpecError]:
    """Every place where two documents of `project` differ, each with its file and line.

    A document that is itself wrong raises SpecError.
    """
    features = project.features().names
    yield from _events_read_features(project, features)
    for study in project.studies():
        yield from _study_fits(project, study, features)
    for market in project.markets():
        scenario = market.source.scenario
        if scenario is not None:
            document = project.read(f"markets/{market.name}")
            yield from _unknown(
                document, ["scenario", scenario], scenario, project.names("scenarios"), "scenarios"
            )


def read_registries(project: Project) -> None:
    """Read every document that stands alone. SpecError for a bad one."""
    registries: tuple[Callable[[], Spec], ...] = (
        project.instruments,
        project.features,
        project.labels,
        project.events,
        project.costs,
        project.backtest,
        project.walk_forward,
        project.portfolio,
        project.gates,
    )
    for load in registries:
        load()


def check_study(project: Project, study: StudySpec) -> None:
    """Raise the first SpecError that concerns `study`: its market, days, names and registries."""
    read_registries(project)
    features = project.features().names
    for error in _events_read_features(project, features):
        raise error
    for error in _study_fits(project, study, features):
        raise error


def _events_read_features(project: Project, features: Collection[str]) -> Iterable[SpecError]:
    document = project.read("event_registry")
    for event_type in project.events().event_types:
        for column in event_type.required_fields:
            yield from _unknown(document, [event_type.name, column], column, features, "features")


def _study_fits(
    project: Project, study: StudySpec, features: Collection[str]
) -> Iterable[SpecError]:
    document = project.read(f"studies/{study.name}")
    unknown = list(
        _unknown(
            document, ["market", study.market], study.market, project.names("markets"), "markets"
        )
    )
    if unknown:
        yield from unknown
        return
    market = project.market(study.market)
    for symbol in study.symbols:
        yield from _unknown(document, ["symbols", symbol], symbol, market.symbols, "symbols")
    end = market.last_day
    for key, day in (("first_day", study.first_day), ("last_day", study.last_day)):
        if day < market.first_day or (end is not None and day > end):
            yield _error(
                document,
                [key],
                f"`{key}` {day} lies outside market {market.name}",
                f"Its days are {market.first_day} .. {end or 'now'}.",
            )
    if study.event_types != "all":
        for name in study.event_types:
            yield from _unknown(document, [name], name, project.events().names, "event types")
    family = project.read(study.family)
    for template in project.family(study.family).templates:
        if template.feature is not None:
            yield from _unknown(
                family, [template.name, template.feature], template.feature, features, "features"
            )


def _unknown(
    document: Document, place: list[str], name: str, valid: Collection[str], what: str
) -> Iterable[SpecError]:
    if name not in valid:
        yield _error(document, place, f"no such name among the {what}: `{name}`",
                     suggestion(name, valid, what))  # fmt: skip


def _error(document: Document, place: list[str], problem: str, remedy: str) -> SpecError:
    line = document.line_naming(place)
    return SpecError(f"{document.shown}:{line}: {problem}.", remedy, file=document.shown, line=line)
