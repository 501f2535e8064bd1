"""Whether a stream's ids only go up: what repeats, what comes late, and what a hole would show.

Belongs here: the account of one stream, in memory that does not grow with it. Ids of quotes leave
gaps by nature; those of trades are consecutive, so that a jump counts what was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Sequence:
    """One stream's account. `consecutive`: ids follow each other without a gap.

    `repeats` counts ids equal to the highest before them, `backwards` those below it, `missing` the
    ids that jumps left out, also where one of them came late. `longest_silence_us` is the longest
    time without a message, by the local clock.
    """

    consecutive: bool = False
    messages: int = 0
    repeats: int = 0
    backwards: int = 0
    missing: int = 0
    longest_silence_us: int = 0
    highest: int | None = None
    last_us: int | None = None

    def take(self, ids: Ids, local_us: Ids) -> Marks:
        """Account for messages in the order of arrival; True for each that repeats or is late.

        Both arrays have one entry a message; `local_us` is when it came, microseconds since 1970.
        """
        if not ids.size:
            return np.zeros(0, np.bool_)
        start = ids[0] - 1 if self.highest is None else self.highest
        before = np.maximum.accumulate(np.concatenate([[start], ids]))[:-1]
        again, late, ahead = ids == before, ids < before, ids > before
        self.messages += ids.size
        self.repeats += int(again.sum())
        self.backwards += int(late.sum())
        if self.consecutive:
            self.missing += int((ids[ahead] - before[ahead] - 1).sum())
        self.highest = max(int(start), int(ids.max()))
        self._listen(local_us)
        marks: Marks = again | late
        return marks

    def _listen(self, local_us: Ids) -> None:
        last = local_us[0] if self.last_us is None else self.last_us
        silences = np.diff(np.concatenate([[last], local_us]))
        self.longest_silence_us = max(self.longest_silence_us, int(silences.max()))
        self.last_us = int(local_us[-1])
