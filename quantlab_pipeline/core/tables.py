"""What a table of the lake is: schema, partitions, what it is made from, which gate judges it.

Only the types live here; the tables themselves are listed in `research.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from quantlab_pipeline.core.columns import TableSchema
from quantlab_pipeline.core.verdicts import Gate

PartitionKind = Literal["day", "study"]


@dataclass(frozen=True, slots=True)
class Read:
    """An upstream table and how far around its own day a day table reads it.

    Lookback is clipped at the market's first day. A look-ahead day may be absent; its absence is
    recorded, and its arrival makes the reader stale.
    """

    table: str
    lookback_days: int = 0
    lookahead_days: int = 0


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table: grain (its docstring for people), partitions, upstreams, gate and code.

    `gate` is the gate whose verdicts guard every load of this table. `item_column` says which
    column holds the judged item, `"*column"` that the items are columns themselves (PIT-1).
    `modules` are the dotted names whose code, with all that they import, makes the table. `specs`
    are the names of the spec documents that shape it. `regardless` are the upstream tables that it
    reads whatever their gate said, because it explains verdicts; nothing may be made from it.
    """

    name: str
    stage: str
    grain: str
    partition: PartitionKind
    schema: TableSchema
    reads: tuple[Read, ...] = ()
    gate: Gate | None = None
    item_column: str | None = None
    modules: tuple[str, ...] = ()
    specs: tuple[str, ...] = field(default=())
    may_be_empty: bool = False
    regardless: tuple[str, ...] = ()
