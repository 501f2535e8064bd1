"""Where LEAN keeps what: names of minute files, in its own folder or in one recorded apart.

Belongs here: names alone. A zip is one UTC day of one symbol; its path tells which, but in a
recorded folder (`perp/`, `spot/`) only the name of the file inside tells the symbol.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from datetime import date

from quantlab_pipeline.core.errors import SourceError

TRADE, QUOTE, FUNDING = "trade", "quote", "funding"

_LEGS = {"cryptofuture": "perp", "crypto": "spot"}
_LAYOUT = re.compile(
    r"(?:.*/)?(?P<market>cryptofuture|crypto)/(?P<venue>\w+)/"
    r"(?:minute/(?P<symbol>\w+)/(?P<day>\d{8})_(?P<tick>trade|quote)\.zip"
    r"|margin_interest/(?P<rates>\w+)\.csv)"
)
_RECORDED = re.compile(
    r"(?:.*/)?(?P<leg>perp|spot)/"
    r"(?:(?P<day>\d{8})_(?P<tick>trade|quote)\.zip|funding_(?P<rates>\w+)\.csv)"
)
_MEMBER = re.compile(r"(?P<day>\d{8})_(?P<symbol>\w+?)_minute_(?P<tick>trade|quote)(?:_perp)?\.csv")


@dataclass(frozen=True, slots=True, order=True)
class LeanFile:
    """One file: the bars or closing quotes of a `day`, or a perpetual's rates (no `day`).

    `venue` and `symbol` are empty where the name does not tell.
    """

    leg: str
    tick: str
    day: date | None
    name: str
    venue: str
    symbol: str


def lean_file(name: str) -> LeanFile | None:
    """What `name` says of itself, or None if it is no file that we read."""
    if match := _LAYOUT.fullmatch(name):
        leg, venue, symbol = _LEGS[match["market"]], match["venue"], match["symbol"] or ""
    elif match := _RECORDED.fullmatch(name):
        leg, venue, symbol = match["leg"], "", ""
    else:
        return None
    if match["rates"]:
        rates = LeanFile(leg, FUNDING, None, name, venue, match["rates"].upper())
        return rates if leg == "perp" else None
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        return None
    return LeanFile(leg, match["tick"], day, name, venue, symbol.upper())


def symbol_inside(data: bytes, file: LeanFile) -> str:
    """The symbol of a recorded zip. SourceError if what is inside is not of the file's day."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(
            f"{file.name} is not a whole zip file: {error}.",
            "Fetch the file again, or remove it.",
            file=file.name,
        ) from error
    match = _MEMBER.fullmatch(members[0]) if members else None
    stamp = f"{file.day:%Y%m%d}"
    if match is None or (match["day"], match["tick"]) != (stamp, file.tick):
        raise SourceError(
            f"{file.name} holds {', '.join(members) or 'nothing'}, no {file.tick}s of its day.",
            f"Name the file inside {stamp}_SYMBOL_minute_{file.tick}.csv.",
            file=file.name,
        )
    return match["symbol"].upper()
