"""What two documents must agree on: features that events read, regimes of buckets, markets.

Belongs here: agreement between documents. What one document alone must be, its model says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.events.checks import check_event_type, check_regime
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
    yield from _events_fit_features(project)
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
    for error in _events_fit_features(project):
        raise error
    for error in _study_fits(project, study, features):
        raise error


def _events_fit_features(project: Project) -> Iterable[SpecError]:
    """Event types and regimes that read what is no feature, or that mix units or free edges."""
    document, registry = project.read("event_registry"), project.events()
    features = project.features().features
    for event_type in registry.event_types:
        unknown = [
            error
            for column in event_type.required_fields
            for error in _unknown(document, [event_type.name, column], column, features, "features")
        ]
        if unknown:
            yield from unknown
        else:
            tried = partial(check_event_type, event_type, features)
            yield from _refused(document, [event_type.name], tried)
    for name, regime in registry.regimes.named().items():
        yield from _refused(document, [name], partial(check_regime, name, regime, features))


def _refused(
    document: Document, place: list[str], tried: Callable[[], None]
) -> Iterable[SpecError]:
    try:
        tried()
    except SpecError as error:
        yield _error(document, place, error.problem.removesuffix("."), error.remedy)


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
    yield from _family_fits(project, study.family, features)


def _family_fits(project: Project, name: str, features: Collection[str]) -> Iterable[SpecError]:
    document, family = project.read(name), project.family(name)
    for template in family.templates:
        if template.feature is not None:
            yield from _unknown(
                document, [template.name, template.feature], template.feature, features, "features"
            )
    regimes = project.events().regimes.named()
    for bucket in family.buckets:
        if bucket.column is not None and bucket.value is not None:
            labels = regimes[bucket.column].labels
            what = f"labels of {bucket.column}"
            yield from _unknown(document, [bucket.name, bucket.value], bucket.value, labels, what)


def _unknown(
    document: Document, place: list[str], name: str, valid: Collection[str], what: str
) -> Iterable[SpecError]:
    if name not in valid:
        yield _error(document, place, f"no such name among the {what}: `{name}`",
                     suggestion(name, valid, what))  # fmt: skip


def _error(document: Document, place: list[str], problem: str, remedy: str) -> SpecError:
    line = document.line_naming(place)
    return SpecError(f"{document.shown}:{line}: {problem}.", remedy, file=document.shown, line=line)
