"""Flags: what a reader must know of a candidate beside its verdict.

Belongs here: from a row's figures to its flags. A flag never changes a verdict, so that its
thresholds stand outside V1's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantlab_pipeline.research.validation.spec import FlagThresholds

HETEROGENEOUS = "HETEROGENEOUS"
"""The effect differs between slices of one partition: `HETEROGENEOUS:vol_regime=high` names the
partition and its strongest slice."""

SUSPECT_SAME_BAR = "SUSPECT_SAME_BAR"
"""Most of the effect is gone when all features come one bar later, and not by a smooth decay."""


def flags_of(row: Mapping[str, Any], thresholds: FlagThresholds) -> tuple[str, ...]:
    """Flags of one row of `phase2_candidates`; a figure that does not exist raises none."""
    flags = []
    p = row.get("heterogeneity_p")
    if p is not None and p < thresholds.heterogeneity_p:
        flags.append(f"{HETEROGENEOUS}:{row['strongest_slice']}")
    left, z = row.get("lag1_share"), row.get("lag1_drop_z")
    if left is not None and z is not None:
        lost = 1.0 - left >= thresholds.min_lost_share
        if lost and z >= thresholds.same_bar_z:
            flags.append(SUSPECT_SAME_BAR)
    return tuple(flags)
