"""What an attack on the features found: leaks, each with its first row, and how much was attacked.

Belongs here: the words of PIT-1's report. Making the attack is `attacks`' and `siege`'s work, the
verdict `gate`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from quantlab_pipeline.core.verdicts import ItemVerdict, worst_by_item

Attack = Literal["prefix", "poison", "lookback", "warmup"]
"""`prefix`: everything that was not known at the instant is gone. `poison`: it is changed, deleted,
doubled and revised instead. `lookback`: everything older than the feature declares is poisoned.
`warmup`: recursions begin twice as far back."""

ATTACKS: tuple[Attack, ...] = ("prefix", "poison", "lookback", "warmup")

Kind = Literal["day_start", "settlement", "oi_bucket", "gap_end", "any_minute"]
"""Why an instant was chosen."""

KINDS: tuple[Kind, ...] = ("day_start", "settlement", "oi_bucket", "gap_end", "any_minute")


@dataclass(frozen=True, slots=True)
class Leak:
    """The first row of a feature that an attack changed, and what it had seen.

    `tau` is the attacked instant, `kind` why it was chosen; the row is (`symbol`, `ts`), its value
    `honest` before and `harmed` after the attack (null: no value). `n_rows` rows changed. `source`
    is the input that it saw through: `table.column`, or the table alone where its rows as such
    matter; null if no table alone explains it. `reach_s`: for the future, how long after the row's
    decision the furthest fact arrived that it saw; for `lookback`, how old the oldest fact was.
    `open_ended`: that is among the furthest that were loaded at all, so that it may see further.
    `reach_s` is null for `warmup`, and where very many features leak at once.
    """

    feature: str
    attack: Attack
    kind: Kind
    tau: datetime
    symbol: str
    ts: datetime
    honest: float | None
    harmed: float | None
    n_rows: int
    source: str | None
    reach_s: float | None
    open_ended: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was attacked: instants by kind, rebuilds by attack, features, days, symbols, and the
    values (of rows at or before their instant) that were compared bit by bit.
    """

    instants: Mapping[Kind, int]
    rebuilds: Mapping[Attack, int]
    n_features: int
    n_days: int
    n_symbols: int
    n_values: int


@dataclass(frozen=True, slots=True)
class Pit1Report:
    """Verdicts by day, one a feature in the order of the specs; every leak, the first of each
    (feature, attack), sorted; and the coverage.
    """

    verdicts: Mapping[date, tuple[ItemVerdict, ...]]
    leaks: tuple[Leak, ...]
    coverage: Coverage

    def by_feature(self) -> list[ItemVerdict]:
        """One verdict a feature, sorted by name: that of its worst day."""
        return worst_by_item(v for verdicts in self.verdicts.values() for v in verdicts)
