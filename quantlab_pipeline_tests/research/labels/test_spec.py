"""The label document is closed, and says what is built."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from quantlab_pipeline_tests.research.labels.builders import label_specs


def test_the_document_loads_and_has_a_stable_hash() -> None:
    assert label_specs().spec_hash() == label_specs().spec_hash()
    assert label_specs().longest_min == 1440


@pytest.mark.parametrize(
    "change",
    [
        {"entry_delay_min": 0},
        {"max_missing_frac": 1.0},
        {"horizons": [{"name": "5m", "length_min": 6}]},
        {"labels": [{"name": "fwd_ret", "formula": "P(t1) - P(t0)", "unit": "1"}]},
        {"sampling": "every_trade"},
        {"max_mising_frac": 0.1},
    ],
)
def test_what_is_not_built_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        label_specs(**change)
