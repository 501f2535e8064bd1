"""What became of a strategy, in sentences: what it trades, what it earned, who stopped it.

Pure: from a `StrategyPage` (and, for the command, from rows of the bridge's tables) to text. A
figure that nobody has is told as missing, never as zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, Outcome
from quantlab_pipeline.reports.candidate_story import question_of
from quantlab_pipeline.reports.strategy_data import (
    ALL,
    BASE,
    JUDGES,
    Fall,
    StrategyPage,
)
from quantlab_pipeline.reports.strategy_figures import NAMES, Row, waterfall

ENTRIES = {
    "taker": "taker",
    "touch": "passive (touch)",
    "queue": "passive (queue)",
    "penetration": "passive (penetration)",
}
"""How entries of each rule meet the book, from the kindest to resting orders on."""

ASKED = {
    Gate.B: "executed at quotes, late, with fees and funding",
    Gate.S: "outside its fit and under stress",
    Gate.P: "as part of a book",
}

MEANINGS = {
    "FEWER_THAN_2_DAYS": "fewer than two days",
    "NO_VARIATION": "no day differs from another",
    "NO_LOSING_DAY": "no day lost",
    "NO_DAYS": "no days",
    "NO_TRADES": "no trades",
    "NO_LOSING_TRADE": "no trade lost",
    "NO_DRAWDOWN": "it never fell",
    "NOT_RECOVERED": "not yet",
}
"""Reasons of missing figures in words; one that is not here is shown as it is."""


def trades_what(page: StrategyPage) -> str:
    """What the strategy trades, in a sentence; its name where its candidate is not known."""
    if page.candidate is None:
        return f"Candidate {page.row['candidate_id']}, whose question is no longer in the tables."
    asked = question_of(page.candidate).removesuffix(".")
    symbols = page.plan["symbols"] if page.plan is not None else page.facts.symbols
    return f"{asked}, on {', '.join(symbols)}."


def earned(page: StrategyPage) -> str:
    """What it earned a trade and a day, on paper and net; why there is nothing to tell."""
    row = page.row
    if not row["n_intents"]:
        return "It never traded: its rule gave no entry before the holdout."
    if not row["n_trades"]:
        return f"It never traded: none of its {row['n_intents']:,} entries became a trade."
    executed = f"Executed before the holdout, {_worst_of(row)}: {_a_trade(page.falls[0])}."
    if page.daily is None:
        return executed
    days, net = page.daily.days, page.daily.net_bps
    a_day = f"{bps(math.fsum(net) / len(net))} a day"
    whole = next((fall for fall in page.falls if fall.over == "all"), None)
    if whole is None:
        return f"{executed} Backtested over {len(days):,} days: {a_day} on its capital."
    told = f"Over {len(days):,} days: {_a_trade(whole)}, {a_day}"
    held = next((fall for fall in page.falls if fall.over == "holdout"), None)
    if held is None:
        return f"{told} on its capital. It closed no trade in the holdout."
    return f"{told} on its capital. In the holdout alone: {_a_trade(held)}."


def stopped(page: StrategyPage) -> str:
    """Which gate stopped it and why, or that it passed all three."""
    gate = page.stopped_by
    if gate is None:
        waived = [g.value for g in JUDGES if page.outcomes[g] is Outcome.WAIVED]
        if waived:
            return f"No gate stopped it, but {_together(waived)} only by a person's waiver."
        return "It passed B, S and P."
    before = [g for g in JUDGES[: JUDGES.index(gate)] if page.outcomes[g] in ADMITTED]
    passed = "".join(f"{g.value} {_admitted(page.outcomes[g])}; " for g in before)
    outcome = page.outcomes[gate]
    if outcome is None:
        unmade = "no book holds it" if gate is Gate.P else f"{gate.value} has not judged it"
        return f"{passed}{unmade if passed else unmade[:1].upper() + unmade[1:]}."
    codes = ", ".join(page.reasons[gate]) or "without a reason code"
    said = f"{gate.value} ({ASKED[gate]}) says {outcome.value.lower().replace('_', ' ')}: {codes}"
    return f"{passed}{said}."


def admissible(page: StrategyPage) -> tuple[bool, str]:
    """Whether it may be traded, and the sentence that says why not."""
    facts, why = page.facts, []
    if facts.synthetic:
        why.append("its market is generated")
    if facts.waived:
        verb = "was" if len(facts.waived) == 1 else "were"
        why.append(f"{_together(facts.waived)} {verb} waived")
    if page.stopped_by is not None:
        why.append(f"it did not pass {page.stopped_by.value}")
    if not why and not page.row["admissible"]:
        why.append("something before it was not admissible")
    if why:
        return False, f"Not admissible: {'; '.join(why)}."
    return True, "Admissible: real data, every gate passed, no waiver."


def way_of(row: Row) -> str:
    """How a row of `bridge_executions` was run, in words."""
    scenario = row["scenario"]
    told = f"{ENTRIES.get(row['entry'], row['entry'])}, {row['latency_s']:g} s"
    if scenario == "as_is":
        return told
    if scenario.startswith("costs_x"):
        return f"{told}, costs ×{scenario.removeprefix('costs_x')}"
    return f"{told}, {scenario.replace('_', ' ')}"


def scenario_words(name: str) -> str:
    """A stress's name in words."""
    if name == BASE:
        return "as it is"
    return re.sub(r"[_ ]x(?=[\d.])", " ×", name).replace("_", " ")


def why_missing(code: str) -> str:
    """Why a figure is null, in words."""
    return MEANINGS.get(code, code.replace("_", " ").lower())


def dearest_assumption(assumptions: Sequence[Row]) -> str | None:
    """The sentence on the assumption that is worth most, and on all at once; None of nothing."""
    known = [r for r in assumptions if r["worth_bps"] is not None and r["assumption"] != ALL]
    if not known:
        return None
    top = max(known, key=lambda r: (r["worth_bps"], r["assumption"]))
    if top["worth_bps"] <= 0:
        told = "No assumption flatters it: made conservative, none costs anything."
    else:
        name = top["assumption"].replace("_", " ")
        less = f"{top['worth_bps']:.1f} bps less"
        told = f"It leans most on {name}: made conservative, a trade earns {less}."
    whole = next((r for r in assumptions if r["assumption"] == ALL), None)
    if whole is None or whole["net_bps_conservative"] is None:
        return told
    return f"{told} All conservative at once leave {bps(whole['net_bps_conservative'])} a trade."


def in_short(row: Row, executions: Sequence[Row], floor_usd: float) -> list[str]:
    """Costs, worst way, bracket and capacity of an executed strategy, a line each.

    `row` is of `bridge_results`; `floor_usd` the capacity that gate B demands.
    """
    if not row["n_trades"]:
        return [f"Executed  {row['n_intents']:,} entries, none became a trade."]
    steps = waterfall({p: row.get(f"{p}_bps") for p in (*_PARTS, "latency")})
    moves = [f"{NAMES[s.part]} {s.value:+.1f}" for s in steps if s.part != "net"]
    told = [
        (
            f"Executed  {', '.join(moves)}: net {bps(row['net_bps'])} a trade "
            f"({row['n_trades']:,} trades, {_worst_of(row)})."
        )
    ]
    told += _ways(row, executions)
    told.append(f"Carries   {_capacity(row, floor_usd)}")
    return told


_PARTS = ("gross", "spread", "slippage", "fee", "funding", "net")


def bps(value: float | None) -> str:
    """A figure in bps with its sign; unknown where there is none."""
    return "an unknown figure" if value is None else f"{value:+.1f} bps"


def bracket(executions: Sequence[Row]) -> list[Row]:
    """Each entry rule at the slowest latency, as it is, in the rules' order."""
    plain = [r for r in executions if r["scenario"] == "as_is"]
    slowest: dict[str, Row] = {}
    for row in sorted(plain, key=lambda r: r["latency_s"]):
        slowest[row["entry"]] = row
    return [
        slowest[rule] for rule in (*ENTRIES, *sorted({*slowest} - {*ENTRIES})) if rule in slowest
    ]


def worst_way(row: Row, executions: Sequence[Row]) -> Row | None:
    """The way that the bridge's `row` names as the worst, else the judged one that earns least.

    None where none has trades.
    """
    named = next((r for r in executions if r["way"] == row.get("worst_way")), None)
    if named is not None:
        return named
    known = [r for r in executions if r["judged"] and r["net_bps"] is not None]
    return min(known, key=lambda r: (r["net_bps"], r["way"])) if known else None


def _ways(row: Row, executions: Sequence[Row]) -> list[str]:
    told = []
    worst = worst_way(row, executions)
    if worst is not None:
        judged = sum(r["judged"] for r in executions)
        told.append(f"Worst way {way_of(worst)}: {bps(worst['net_bps'])}, of {judged} judged.")
    rules = bracket(executions)
    if len(rules) > 1:
        nets = ", ".join(f"{r['entry']} {bps(r['net_bps'])}" for r in rules)
        told.append(f"Bracket   {nets}.")
    return told


def _capacity(row: Row, floor_usd: float) -> str:
    if row["capacity_usd"] is None:
        return "unknown: no volatility or volume is known at its decisions."
    enough = "enough" if row["capacity_usd"] >= floor_usd else "too little"
    low, high = row.get("capacity_low_usd"), row.get("capacity_high_usd")
    within = "" if low is None or high is None else f" (95 %: {low:,.0f} to {high:,.0f})"
    best = f"{row['capacity_usd']:,.0f} USD a trade earn most{within}"
    return f"{best}; {enough} for B's {floor_usd:,.0f}."


def what_to_know(row: Row) -> list[str]:
    """What else the bridge measured of its ways, a sentence each; empty where it did not."""
    told = []
    multiple, stressed = row.get("break_even_cost_multiple"), row.get("stressed_net_bps")
    if multiple == 0.0:
        told.append("It loses before costs: no cost is low enough.")
    elif multiple is not None:
        told.append(f"At {multiple:.2f} times its costs nothing is left.")
    if stressed is not None:
        told.append(f"With every moment a stressed one it earns {bps(stressed)} a trade.")
    if row.get("bracket_width_bps") is not None:
        width = row["bracket_width_bps"]
        told.append(f"The passive rules lie {width:.1f} bps apart at one latency.")
    if row.get("touch_optimistic"):
        told.append(
            "Fills at a touch flatter it: they mark out above zero after 5 s, those of the "
            "bracket's worst do not."
        )
    if row.get("n_unknown_funding"):
        told.append(
            f"{row['n_unknown_funding']:,} trades were held across a settlement that is missing: "
            "they have no result and count in no mean."
        )
    return told


def _worst_of(row: Row) -> str:
    """The worst way, by what the row knows of it."""
    seconds, entry = row.get("worst_latency_s"), row.get("entry")
    if seconds is None:
        return "at its worst way"
    if entry is None:
        return f"at its worst latency of {seconds:g} s"
    return f"in its worst way ({ENTRIES.get(entry, entry)}, {seconds:g} s)"


def _a_trade(fall: Fall) -> str:
    parts = fall.parts
    paper = (
        ""
        if parts["latency"] is None
        else f" (of {bps(parts['gross'] + parts['latency'])} on paper)"
    )
    trades = "trade" if fall.n_trades == 1 else "trades"
    return f"{bps(parts['net'])} a trade net{paper} over {fall.n_trades:,} {trades}"


def _together(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _admitted(outcome: Outcome | None) -> str:
    return "was waived" if outcome is Outcome.WAIVED else "passed"
