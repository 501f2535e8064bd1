"""A validation error put as a person needs it: file, line, what is wrong, the nearest valid name.

Belongs here: translating pydantic's errors with the help of the model's own fields. Reading files
is `yaml_lines`' and `spec_files`' work.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.storage.yaml_lines import Document

UNITS = {
    "ms": "milliseconds", "s": "seconds", "min": "minutes", "h": "hours", "days": "days",
    "bars": "bars", "bps": "basis points", "pct": "per cent", "frac": "a share of 1",
    "usd": "US dollars", "base": "base units", "quote": "quote units",
}  # fmt: skip
_ALIASES = {
    "sec": "s", "secs": "s", "seconds": "s", "minutes": "min", "mins": "min", "hours": "h",
    "hr": "h", "hrs": "h", "day": "days", "d": "days", "millis": "ms", "bp": "bps",
    "percent": "pct", "dollars": "usd", "bar": "bars",
}  # fmt: skip
_SHOWN_AT_ONCE = 3
_QUOTED = re.compile(r"[`']([^`']+)[`']")


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most like `name`, or None if none is like it."""
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: str, valid: Iterable[str], what: str = "names") -> str:
    """A remedy sentence: the nearest of `valid`, or all of them."""
    names = list(valid)
    like = nearest(name, names)
    if like is not None:
        return f"Did you mean `{like}`?"
    return f"Valid {what} here: {', '.join(names)}." if names else f"There are no {what} here."


def split_unit(key: str) -> tuple[str, str | None]:
    """`cooldown_min` -> (`cooldown`, `min`); the unit is None where the key has no known one."""
    stem, _, tail = key.rpartition("_")
    unit = _ALIASES.get(tail, tail)
    return (stem, unit) if stem and unit in UNITS else (key, None)


@dataclass(frozen=True, slots=True)
class _Mistake:
    line: int
    problem: str
    remedy: str
    answered: str | None = None
    missing: str | None = None


def spec_error(document: Document, model: type[BaseModel], error: ValidationError) -> SpecError:
    """One SpecError for all that `error` found in `document`, the first mistake in front.

    A missing key that an unknown key's suggestion already names is not told twice.
    """
    mistakes = [_mistake(document, model, detail) for detail in error.errors()]
    answered = {m.answered for m in mistakes if m.answered}
    mistakes = [m for m in mistakes if m.missing not in answered or m.missing is None]
    mistakes.sort(key=lambda m: m.line)
    first, *others = mistakes
    remedy = first.remedy
    for other in others[:_SHOWN_AT_ONCE]:
        remedy += f" Also line {other.line}: {other.problem}."
    if len(others) > _SHOWN_AT_ONCE:
        remedy += f" And {len(others) - _SHOWN_AT_ONCE} more."
    return SpecError(
        f"{document.shown}:{first.line}: {first.problem}.",
        remedy,
        file=document.shown,
        line=first.line,
        mistakes=len(mistakes),
    )


def _mistake(document: Document, model: type[BaseModel], detail: Mapping[str, Any]) -> _Mistake:
    location = detail["loc"]
    line = document.line_of(location)
    key = str(location[-1]) if location else ""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(line, key, _keys_at(model, location[:-1]))
    if kind == "missing":
        return _Mistake(line, f"key `{key}` is missing", f"Add `{key}`.", missing=key)
    path = ".".join(str(step) for step in location if str(step) in _path_steps(document, location))
    given = detail.get("input")
    if kind in ("literal_error", "enum"):
        valid = _QUOTED.findall(str(detail["ctx"]["expected"]))
        return _Mistake(line, f"`{path}` cannot be {given!r}", suggestion(str(given), valid))
    if kind == "union_tag_invalid":
        tag, key = str(detail["ctx"]["tag"]), detail["ctx"]["discriminator"].strip("'")
        valid = _QUOTED.findall(str(detail["ctx"]["expected_tags"]))
        line = document.line_of((*location, key))
        return _Mistake(line, f"`{path}.{key}` cannot be {tag!r}", suggestion(tag, valid))
    said = str(detail["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        where = f"`{path}`: " if path else ""
        named = _QUOTED.findall(said)
        return _Mistake(document.line_naming(named, line), f"{where}{said}", "Mend the value.")
    said = said[:1].lower() + said[1:]
    shown = "" if isinstance(given, dict | list | tuple) else f" (got {given!r})"
    return _Mistake(line, f"`{path}`: {said}{shown}", "Mend the value.")


def _path_steps(document: Document, location: Sequence[str | int]) -> set[str]:
    steps: set[str] = set()
    at: tuple[str, ...] = ()
    for step in location:
        deeper = (*at, str(step))
        if deeper in document.lines:
            at = deeper
            steps.add(str(step))
    return steps


def _unknown_key(line: int, key: str, valid: list[str]) -> _Mistake:
    stem, unit = split_unit(key)
    for name in valid:
        other_stem, other_unit = split_unit(name)
        if unit and other_unit and stem == other_stem and unit != other_unit:
            remedy = f"Wrong unit: did you mean `{name}` ({UNITS[other_unit]})? Convert the number."
            return _Mistake(line, f"unknown key `{key}`", remedy, answered=name)
    remedy = suggestion(key, valid, "keys")
    return _Mistake(line, f"unknown key `{key}`", remedy, answered=nearest(key, valid))


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    kinds: list[Any] = [model]
    for step in location:
        kinds = _descend(kinds, step)
    keys: list[str] = []
    for kind in kinds:
        if _is_model(kind):
            keys += [info.alias or name for name, info in kind.model_fields.items()]
    return list(dict.fromkeys(keys))


def _descend(kinds: list[Any], step: str | int) -> list[Any]:
    found: list[Any] = []
    for kind in kinds:
        if _is_model(kind):
            for name, info in kind.model_fields.items():
                if step in (name, info.alias):
                    found += _members(info.annotation)
            continue
        origin, args = get_origin(kind), get_args(kind)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            found += _members(args[1])
        elif isinstance(origin, type) and issubclass(origin, Sequence) and isinstance(step, int):
            found += [m for a in args if a is not Ellipsis for m in _members(a)]
    # Otherwise the step is a union's tag, not a place in the file: keep the members that bear it.
    return found or [k for k in kinds if _bears(k, step)] or kinds


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Union or isinstance(annotation, types.UnionType):
        return [m for a in get_args(annotation) for m in _members(a)]
    return [annotation]


def _bears(kind: Any, tag: str | int) -> bool:
    if not _is_model(kind):
        return False
    literals = [i.annotation for i in kind.model_fields.values()]
    tags = [v for a in literals if get_origin(a) is Literal for v in get_args(a)]
    return kind.__name__ == tag or tag in tags


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
