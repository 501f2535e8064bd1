"""One feature's PIT-1 verdict as lines of text: what changed it, how far it saw, what to do.

Pure: from the page's values to text. The words for one leak are `pit_story`'s; printing is the
command's matter.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.reports.pit_data import FeatureLine, ToldLeak
from quantlab_pipeline.reports.pit_story import attack_of, reason_text


def feature_story(line: FeatureLine, leaks: Sequence[ToldLeak], n_days: int) -> list[str]:
    """The lines; `leaks` are the feature's own, `n_days` are all days that were judged."""
    if line.outcome is Outcome.NOT_EVALUABLE:
        return [f"{line.feature} could not be judged: {'; '.join(line.others)}."]
    if not line.red_days:
        under = f"{line.feature} kept every bit under attack at {line.instants:,} instants"
        return [f"{under}, with {line.values:,} values compared over {n_days:,} days."]
    lines = [f"{line.feature} is red on {line.red_days:,} of {n_days:,} days."]
    by_attack = {told.leak.attack: told for told in leaks}
    for code in line.reasons:
        lines.append(f"{code}: {reason_text(code)}.")
        attack = attack_of(code)
        told = None if attack is None else by_attack.get(attack)
        if told is not None:
            lines += _leak_lines(told)
    return lines


def _leak_lines(told: ToldLeak) -> list[str]:
    leak = told.leak
    row = f"{leak.symbol} {leak.ts:%Y-%m-%d %H:%M}"
    more = f"; {leak.n_rows:,} rows changed" if leak.n_rows > 1 else ""
    return [
        f"  first row   {row}: {told.before} became {told.after}{more}",
        f"  it saw      {told.source}, {told.saw}",
        f"  what to do  {told.remedy}",
    ]
