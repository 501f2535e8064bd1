"""Labels: what happened after each instant. Tomorrow may not be there yet."""

from __future__ import annotations

from quantlab_pipeline.defs.market_data.endings import BARS, ends_of
from quantlab_pipeline.defs.stage_run import Body, Made, StageRun
from quantlab_pipeline.research.labels.build import build_labels


def labels_fwd(run: StageRun) -> Made:
    """Labels of every minute of the days; what has not resolved yet is null.

    Which symbols ended is read from the manifests of the bars that are read, days ahead included:
    an end that is told later is another manifest, and so other lineage.
    """
    frame = build_labels(
        run.load(BARS, columns=["symbol", "ts", "close"]),
        run.load("tob_1m_agg", columns=["symbol", "leg", "ts", "mid_last"]),
        run.project.labels(),
        run.days,
        run.symbols,
        mark_index=run.load("mark_index", columns=["symbol", "ts", "mark_price"]),
        ends=ends_of(run, run.days_read(BARS)),
    )
    resolved = frame["fwd_ret_24h"].is_not_null().mean() if frame.height else None
    return Made(frame, {"resolved at 24h": float(resolved or 0.0)})  # type: ignore[arg-type]


BODIES: dict[str, Body] = {"labels_fwd": labels_fwd}
