"""A PIT-1 report by hand: two days, leaks of every attack, a green feature and one without data."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.pit_data import PitFacts
from quantlab_pipeline.reports.pit_story import Declared
from quantlab_pipeline.research.features.leaks import Attack, Coverage, Leak, Pit1Report

DAYS = [date(2025, 3, 2), date(2025, 3, 3)]
ROW = datetime(2025, 3, 2, 4, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

FACTS = PitFacts(
    "study_x", "market_y", False, ("AAAUSDT", "BBBUSDT"), DAYS[0], DAYS[1], "Attacked just now."
)
DECLARED = {
    "oi_jump": Declared(60),
    "ret_next": Declared(5),
    "z_all": Declared(60),
    "close_revised": Declared(0),
    "vol_long": Declared(60),
    "ema_short": Declared(180, recursive=True),
    "row_count": Declared(0),
    "wick_bps": Declared(0),
    "spread_bps": Declared(0),
}


def leak(feature: str, attack: Attack, source: str | None, **other: Any) -> Leak:
    """A leak of the row `ROW`, attacked at it, that saw six minutes ahead."""
    known = Leak(
        feature, attack, "oi_bucket", ROW, "AAAUSDT", ROW, 1.25, 1.5, 5, source, 6 * MINUTE, False
    )
    return replace(known, **other)


LEAKS = (
    leak("oi_jump", "prefix", "open_interest.oi_base"),
    leak("oi_jump", "poison", "open_interest.oi_base", harmed=1.25 * (1 + 2**-50)),
    leak(
        "ret_next", "prefix", "bars_1m_perp.close", tau=ROW + timedelta(minutes=58),
        reach_s=HOUR, harmed=None, n_rows=118,
    ),
    leak("z_all", "prefix", "bars_1m_perp.close", reach_s=3 * DAY, open_ended=True, n_rows=2410),
    leak("close_revised", "poison", "bars_1m_perp.close", reach_s=17 * MINUTE),
    leak("vol_long", "lookback", "bars_1m_perp.close", reach_s=13 * HOUR),
    leak("ema_short", "warmup", None, reach_s=None, honest=0.031, harmed=0.0310001),
    leak("row_count", "prefix", None, reach_s=None),
)  # fmt: skip


def evidence(of: Leak) -> dict[str, Any]:
    """The leak as a verdict keeps it."""
    return {**asdict(of), "tau": of.tau.isoformat(), "ts": of.ts.isoformat()}


CODES: dict[Attack, str] = {
    "prefix": "LEAK_PREFIX",
    "poison": "LEAK_POISON",
    "lookback": "LOOKBACK_EXCEEDED",
    "warmup": "WARMUP_TOO_SHORT",
}


def verdict(feature: str, *leaks: Leak, values: float = 1000.0) -> ItemVerdict:
    """FAIL with its leaks' codes and evidence, PASS without any."""
    return ItemVerdict(
        feature,
        Outcome.FAIL if leaks else Outcome.PASS,
        tuple(CODES[one.attack] for one in leaks),
        {"instants": (7.0, 7.0), "compared_values": (values, None)},
        evidence=tuple(evidence(one) for one in leaks),
    )


def absent(feature: str, *reasons: str) -> ItemVerdict:
    """A feature that could not be judged."""
    return ItemVerdict(feature, Outcome.NOT_EVALUABLE, reasons)


def verdicts_of(day: date, leaks: tuple[Leak, ...]) -> tuple[ItemVerdict, ...]:
    """One verdict a feature; the leaks happened `day`."""
    moved = timedelta(days=(day - DAYS[0]).days)
    mine = [replace(one, ts=one.ts + moved, tau=one.tau + moved) for one in leaks]
    return (
        *(
            verdict(name, *(one for one in mine if one.feature == name))
            for name in DECLARED
            if name != "spread_bps"
        ),
        absent("spread_bps", "DATASET_ABSENT:tob_1m_agg"),
    )


def report(leaks: tuple[Leak, ...] = LEAKS) -> Pit1Report:
    """Every leak on the first day, the two of `oi_jump` on the second as well."""
    again = tuple(one for one in leaks if one.feature == "oi_jump")
    n_judged = len(DECLARED) - 1
    return Pit1Report(
        {DAYS[0]: verdicts_of(DAYS[0], leaks), DAYS[1]: verdicts_of(DAYS[1], again)},
        leaks,
        Coverage(
            {"day_start": 2, "settlement": 4, "oi_bucket": 4, "gap_end": 1, "any_minute": 3},
            {"prefix": 14, "poison": 14, "lookback": 2, "warmup": 2},
            n_judged,
            2,
            2,
            2000 * n_judged,
        ),
    )
