"""Errors, seeds, schemas, verdicts, instruments and records: small words with exact meanings."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core import columns
from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.errors import GateNotPassedError, SchemaError
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import Fill, Order, chain_head, encode, record_id
from quantlab_pipeline.core.seeds import child_seed, generator
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome, overall

AT = datetime(2025, 1, 1, 0, 1, tzinfo=UTC)
PRICES = columns.TableSchema(
    "prices",
    (
        columns.SYMBOL,
        columns.TS_COLUMN,
        columns.Column("price", pl.Float64, "quote", "A price.", gt=0),
    ),
)


def test_an_error_crosses_processes_with_its_fields() -> None:
    error = GateNotPassedError("D0 is red.", "Run it.", gate="D0")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is GateNotPassedError
    assert (str(copy), copy.fields, copy.exit_code) == ("D0 is red. Run it.", {"gate": "D0"}, 3)


def test_children_of_a_seed_are_named_not_ordered() -> None:
    assert child_seed(1, "a") == child_seed(1, "a") != child_seed(1, "b")
    assert generator(7, "x").random() == generator(7, "x").random()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ({"symbol": ["A"], "ts": [AT], "price": [-1.0]}, "price"),
        ({"symbol": ["A", "A"], "ts": [AT, AT], "price": [1.0, 2.0]}, "two rows with one key"),
        ({"symbol": ["A"], "ts": [AT], "price": [None]}, "price"),
    ],
)
def test_a_frame_that_breaks_its_schema_is_refused(rows: dict[str, list], complaint: str) -> None:
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in PRICES.columns})
    with pytest.raises(SchemaError, match=complaint):
        PRICES.validate(frame)


PATHS = columns.TableSchema(
    "paths",
    (
        columns.text("name", "Whose path."),
        columns.inner_rows(
            "path",
            "Its points.",
            columns.Column("minute", pl.Int64, "min", "When."),
            columns.figure("p", "1", "A chance.", 0, 1),
        ),
    ),
    key=("name",),
)


def paths_of(path: list[dict[str, object]] | None) -> pl.DataFrame:
    schema = {c.name: c.dtype for c in PATHS.columns}
    return pl.DataFrame([{"name": "a", "path": path}], schema=schema)


def test_rows_inside_a_row_are_of_their_own_schema() -> None:
    whole = [{"minute": 1, "p": 0.5}, {"minute": 2, "p": None}]
    for path in (whole, []):
        frame = paths_of(path)
        assert PATHS.validate(frame) is frame


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ([{"minute": 1, "p": 1.5}], "paths.path .* column p"),
        ([{"minute": None, "p": 0.5}], "paths.path .* column minute"),
        (None, "column path"),
    ],
)
def test_a_row_inside_a_row_that_breaks_its_schema_is_refused(
    path: list[dict[str, object]] | None, complaint: str
) -> None:
    with pytest.raises(SchemaError, match=complaint):
        PATHS.validate(paths_of(path))


def test_a_column_of_another_type_is_refused_not_cast() -> None:
    frame = pl.DataFrame(
        {"symbol": ["A"], "ts": [AT], "price": [1]},
        schema={"symbol": pl.String, "ts": columns.TS_COLUMN.dtype, "price": pl.Int64},
    )
    with pytest.raises(SchemaError, match="price"):
        PRICES.validate(frame)


@pytest.mark.parametrize(
    ("gate", "outcomes", "whole"),
    [
        (Gate.D0, ["FAIL", "PASS"], "PASS"),
        (Gate.PIT1, ["FAIL", "PASS"], "FAIL"),
        (Gate.PIT1, ["NOT_EVALUABLE", "PASS"], "PASS"),
        (Gate.V1, ["FAIL", "WAIVED"], "WAIVED"),
        (Gate.V1, ["UNDERPOWERED", "FAIL"], "FAIL"),
        (Gate.V1, ["NOT_EVALUABLE", "UNDERPOWERED"], "UNDERPOWERED"),
        (Gate.B, [], "NOT_EVALUABLE"),
    ],
)
def test_a_gate_as_a_whole(gate: Gate, outcomes: list[str], whole: str) -> None:
    items = [ItemVerdict(str(i), Outcome(o)) for i, o in enumerate(outcomes)]
    assert overall(gate, items) == whole


BTC = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))


@given(st.floats(1.0, 1e6))
def test_ticks_round_against_the_trader(price: float) -> None:
    buy, sell = BTC.ticks_against(price, 1), BTC.ticks_against(price, -1)
    assert sell <= buy <= sell + 1
    assert BTC.price(sell) <= price + 1e-6 <= BTC.price(buy) + 2e-6


def test_a_price_on_the_grid_stays() -> None:
    assert BTC.ticks_against(60_000.3, 1) == BTC.ticks_against(60_000.3, -1) == 600_003
    assert BTC.lots_within(0.0019999) == 1


def test_records_are_named_by_content_and_chained_by_order() -> None:
    order = Order(0, 1, "s", "BTCUSDT", lots=5, kind="market", decision_seq=0)
    fill = Fill(1, 2, "s", "BTCUSDT", lots=5, price_ticks=600_003, fee_units=15, order_seq=0)
    assert record_id(order) == record_id(order) != record_id(fill)
    assert encode(fill)["kind"] == "Fill"
    assert chain_head([order, fill]) != chain_head([fill, order]) != chain_head([order])


def test_code_hash_follows_imports_and_knows_packages() -> None:
    package = code_hash("quantlab_pipeline.core")
    assert package == code_hash("quantlab_pipeline.core", "quantlab_pipeline.core.clocks")
    assert package != code_hash("quantlab_pipeline.core.clocks")
    with pytest.raises(ModuleNotFoundError):
        code_hash("quantlab_pipeline.core.nowhere")
