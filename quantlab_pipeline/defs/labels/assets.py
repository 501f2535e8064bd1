"""Labels: what happened after each instant. Tomorrow may not be there yet."""

from __future__ import annotations

from quantlab_pipeline.defs.stage_run import Body, Made, StageRun
from quantlab_pipeline.research.labels.build import build_labels


def labels_fwd(run: StageRun) -> Made:
    """Labels of every minute of the days; what has not resolved yet is null."""
    frame = build_labels(
        run.load("bars_1m_perp"),
        run.load("tob_1m_agg"),
        run.project.labels(),
        run.days,
        run.symbols,
    )
    resolved = frame["fwd_ret_24h"].is_not_null().mean() if frame.height else None
    return Made(frame, {"resolved at 24h": float(resolved or 0.0)})  # type: ignore[arg-type]


BODIES: dict[str, Body] = {"labels_fwd": labels_fwd}
