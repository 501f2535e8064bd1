"""The label document is closed, and says what is built."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from quantlab_pipeline.research.labels.schema import LABELS_FWD
from quantlab_pipeline_tests.research.labels.builders import label_document, label_specs


def test_the_document_loads_and_has_a_stable_hash() -> None:
    assert label_specs().spec_hash() == label_specs().spec_hash()
    assert label_specs().longest_min == 1440


def test_every_column_is_a_label_of_the_document() -> None:
    document = label_document()
    named = [
        label["name"].replace("{H}", horizon["name"])
        for horizon in document["horizons"]
        for label in document["labels"]
    ]
    assert LABELS_FWD.names == ["symbol", "ts", "available_at", "price_source", *named]


@pytest.mark.parametrize(
    "change",
    [
        {"entry_delay_min": 0},
        {"max_missing_frac": 1.0},
        {"horizons": [{"name": "5m", "length_min": 6}]},
        {"labels": [{"name": "fwd_ret_{H}", "formula": "P(t1) - P(t0)", "unit": "1"}]},
        {"labels": [{"name": "fwd_vol_{H}", "formula": "std of P", "unit": "1"}]},
        {"labels": label_document()["labels"][:-1]},
        {"labels": label_document()["labels"][::-1]},
        {"price_rule": "P(t) is the last trade"},
        {"sampling": "every_trade"},
        {"max_mising_frac": 0.1},
    ],
)
def test_what_is_not_built_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        label_specs(**change)
