"""Every threshold of the seven gates, and of V1's flags, in one document: `specs/gates.yaml`.

Belongs here: the composition alone. Each gate's thresholds are defined in its own stage.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.research.events.spec import E1Thresholds
from quantlab_pipeline.research.features.spec import Pit1Thresholds
from quantlab_pipeline.research.market_data.spec import D0Thresholds
from quantlab_pipeline.research.portfolio.spec import PThresholds
from quantlab_pipeline.research.validation.bands import CalibrationBands
from quantlab_pipeline.research.validation.spec import CompanionSpec, FlagThresholds, V1Thresholds
from quantlab_pipeline.research.walk_forward.spec import SThresholds

_SECTIONS = {
    Gate.D0: "d0",
    Gate.PIT1: "pit1",
    Gate.E1: "e1",
    Gate.V1: "v1",
    Gate.B: "b",
    Gate.S: "s",
    Gate.P: "p",
}


class GatesSpec(Spec):
    """One section a gate, every threshold written out: an unwritten default is no decision.

    `v1_flags` and `v1_companions` are no gate's: what they say of a candidate changes no verdict.
    `calibration` holds V1 itself to its bands.
    """

    d0: D0Thresholds
    pit1: Pit1Thresholds
    e1: E1Thresholds
    v1: V1Thresholds
    v1_flags: FlagThresholds
    v1_companions: CompanionSpec
    calibration: CalibrationBands
    b: BThresholds
    s: SThresholds
    p: PThresholds

    @model_validator(mode="after")
    def _written_out(self) -> Self:
        for name in type(self).model_fields:
            section: Spec = getattr(self, name)
            unwritten = [k for k in type(section).model_fields if k not in section.model_fields_set]
            if unwritten:
                raise ValueError(f"section `{name}` lacks {', '.join(unwritten)}")
        return self

    def section(self, gate: Gate) -> Spec:
        """The thresholds of `gate`; their `spec_hash` names them in its verdicts."""
        section: Spec = getattr(self, _SECTIONS[gate])
        return section
