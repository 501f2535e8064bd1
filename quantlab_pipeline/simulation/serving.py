"""Simulations served where they were computed before: what a result follows from, and its parts.

Belongs here: the signature of one strategy run in one way, and putting served and fresh results
together to the same bytes. Not here: where results are kept (`core.ports.ResultCache`), and the
engine itself. A signature holds the strategy's own intents, the data and how it was fed, the
documents of costs and instruments, the way, the source of the engine with all that it imports, and
the pinned libraries. So another strategy beside it changes nothing, and any byte of these does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.fingerprints import digest, digest_bytes
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.ports import ResultCache
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.tape import Tape
from quantlab_pipeline.simulation.trades import no_payments, no_trades

ENGINE = "quantlab_pipeline.simulation.engine"
Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Feed:
    """Tapes of some symbols, made when they are asked for.

    `name` holds all that the tapes follow from beside the data: where they end, what was taken out
    of them; `modules` name the code that does so, where it is not the engine's. Two feeds of one
    name and code must be the same.
    """

    name: str
    tapes: Callable[[Sequence[str]], Iterable[Tape]]
    modules: tuple[str, ...] = ()


@dataclass
class Tally:
    """How many results were asked for, and how many of them were served."""

    asked: int = 0
    served: int = 0


@dataclass(frozen=True, slots=True)
class Shelf:
    """A cache with what all signatures share: the digests of the data and of the libraries."""

    cache: ResultCache
    data: str
    libraries: str
    tally: Tally

    def signature(self, asked: Any, *modules: str) -> str:
        """Signature of what `modules` (with their imports) make of `asked` on this data."""
        return digest([self.data, self.libraries, code_hash(*modules), asked])

    def results(
        self,
        signatures: Mapping[Any, str],
        compute: Callable[[list[Any]], Mapping[Any, Frames]],
    ) -> dict[Any, Frames]:
        """Frames of every key of `signatures`, in its order; those not kept yet are computed.

        `compute` is called once with the missing keys, not at all without any, and its results are
        kept.
        """
        found: dict[Any, Frames | None] = {k: self.cache.get(s) for k, s in signatures.items()}
        missing = [key for key, frames in found.items() if frames is None]
        self.tally.asked += len(found)
        self.tally.served += len(found) - len(missing)
        fresh = compute(missing) if missing else {}
        for key in missing:
            self.cache.put(signatures[key], fresh[key])
        return {k: fresh[k] if frames is None else frames for k, frames in found.items()}


def simulate_served(
    intents: pl.DataFrame,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    costs: CostModel,
    ways: Sequence[RunSettings],
    shelf: Shelf | None,
) -> list[Simulation]:
    """What `engine.simulate` gives, strategy and way by strategy and way, from the `shelf`.

    Only what is missing is computed, in one visit of the tapes that it needs; without a shelf all
    of it. `payments.trade` counts within a strategy and symbol where there is one.
    """
    if shelf is None:
        symbols = intents["symbol"].unique().sort().to_list()
        return simulate(intents, feed.tapes(symbols), instruments, costs, ways)
    by_strategy = {
        str(name[0]): part
        for name, part in intents.sort("strategy_id", "symbol", "ts", "event_id")
        .partition_by("strategy_id", as_dict=True, maintain_order=True)
        .items()
    }
    shared = [feed.name, costs.spec_hash()]
    signatures = {}
    for name, mine in by_strategy.items():
        symbols = mine["symbol"].unique().sort().to_list()
        own = [rows_digest(mine), [instruments[s] for s in symbols if s in instruments]]
        for at, way in enumerate(ways):
            signatures[name, at] = shelf.signature([*shared, *own, way], ENGINE, *feed.modules)

    def compute(missing: list[tuple[str, int]]) -> dict[tuple[str, int], Frames]:
        at = sorted({at for _, at in missing})
        chosen = pl.concat([by_strategy[name] for name in sorted({name for name, _ in missing})])
        tapes = feed.tapes(chosen["symbol"].unique().sort().to_list())
        runs = simulate(chosen, tapes, instruments, costs, [ways[i] for i in at])
        parts = {i: _apart(run, chosen) for i, run in zip(at, runs, strict=True)}
        return {(name, i): parts[i][name] for name, i in missing}

    found = shelf.results(signatures, compute)
    return [
        Simulation(
            pl.concat([no_trades(), *(found[n, at]["trades"] for n in by_strategy)]),
            pl.concat([no_payments(), *(found[n, at]["payments"] for n in by_strategy)]),
            way,
        )
        for at, way in enumerate(ways)
    ]


def _apart(run: Simulation, intents: pl.DataFrame) -> dict[str, Frames]:
    """Trades and payments of each strategy; its trades are numbered as if it had run alone."""
    before = (
        intents.group_by("symbol", "strategy_id", maintain_order=True)
        .len("own")
        .sort("symbol", "strategy_id")
        .with_columns(pl.col("own").cum_sum().over("symbol").cast(pl.Int64))
        .with_columns(pl.col("own").shift(1, fill_value=0).over("symbol").alias("before"))
        .drop("own")
    )
    columns = run.payments.columns
    payments = (
        run.payments.join(before, ["symbol", "strategy_id"], how="left", maintain_order="left")
        .with_columns(pl.col("trade") - pl.col("before"))
        .select(columns)
    )
    names = intents["strategy_id"].unique().sort().to_list()
    return {
        name: {
            "trades": run.trades.filter(pl.col("strategy_id") == name),
            "payments": payments.filter(pl.col("strategy_id") == name),
        }
        for name in names
    }


def rows_digest(frame: pl.DataFrame) -> str:
    """Digest of a frame's columns and values, whatever its chunks.

    Nulls are told from values; columns must be of numbers, Booleans, instants or text.
    """
    parts = []
    for column in frame.get_columns():
        values = column.to_physical().rechunk()
        if values.dtype == pl.String:
            content = digest(values.to_list())
        else:
            known = values.is_not_null().to_numpy().tobytes()
            filled = values.fill_null(0 if values.dtype.is_numeric() else False)
            content = digest([digest_bytes(known), digest_bytes(filled.to_numpy().tobytes())])
        parts.append([column.name, str(column.dtype), content])
    return digest(parts)
