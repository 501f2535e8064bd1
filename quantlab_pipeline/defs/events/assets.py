"""Events from features alone; their quality over a study; gate E-1."""

from __future__ import annotations

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.events.spec import EventRegistry


def events(run: StageRun) -> Made:
    """Every occurrence of every event type on the days."""
    frame = detect_events(run.load("features_pt"), run.project.events(), run.days)
    return Made(frame, {"types seen": frame["event_type"].n_unique()})


def event_quality(run: StageRun) -> Made:
    """Prevalence, overlap and join of the study's event types, before its holdout."""
    registry = study_registry(run)
    wanted = {name for t in registry.event_types for name in t.required_fields}
    features = run.load("features_pt")
    kept = [c for c in features.columns if c in wanted or c in ("symbol", "ts")]
    frame = measure_events(
        run.load("events"),
        features.select(kept),
        run.load("labels_fwd", columns=["symbol", "ts"]),
        registry,
        len(run.days),
        run.symbols,
        run.absent_datasets,
    )
    return Made(frame, {"event types": frame.height})


def e1(run: StageRun) -> Judged:
    """Gate E-1 on every event type of the study."""
    (study,) = run.partitions
    return Judged({study: judge_e1(run.own(), run.project.gates().e1)})


def study_registry(run: StageRun) -> EventRegistry:
    """The registry with the study's event types alone. SpecError for an unknown one."""
    return run.project.events().only(run.study.event_types)


BODIES: dict[str, Body] = {"events": events, "event_quality": event_quality}
GATES: dict[Gate, GateBody] = {Gate.E1: e1}
