"""How a page of a study is kept: written once, left alone while current, removed once stale.

Belongs here: the rule alone. Which pages there are is `pages`' matter, what one says the reports'.
A page names its inputs by a digest in its head: one that was made from what is current is left
alone, one whose tables are not current is removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.reports.pages import template_text
from quantlab_pipeline.storage.objects import write_atomic

_HEAD_BYTES = 400
_STYLES = ("page.css", "charts.css")
_MADE_FROM = re.compile(r'<meta name="made-from" content="([^"]*)">')

Render = Callable[[StudyOutcome, str], str]
"""A page as text, with the digest of what it was made from in its head."""


@dataclass(frozen=True, slots=True)
class StudyPage:
    """One page: its file among the artifacts, title, the table that it tells of, and its gate.

    `source` gives the facts that it is made from, None where its tables are not current. `modules`
    and `templates` are its code. `parts` are pages below it, by their path beside it: those of an
    outcome, and all that may lie in `parts_folder`.
    """

    file: str
    title: str
    table: str
    gate: Gate
    templates: tuple[str, ...]
    modules: tuple[str, ...]
    source: Callable[[StudyOutcome], Any]
    render: Render
    parts: Callable[[StudyOutcome], Mapping[str, Render]] | None = None
    parts_folder: str = ""


def write_page(outcome: StudyOutcome, page: StudyPage, folder: Path) -> Path | None:
    """The page's path, written unless it stands there already; None and no file where it may not.

    The lake is best held still around it (`one_look`). Its parts are kept by the same rule, and
    those that it has no longer are removed.
    """
    path = folder / page.file
    facts = page.source(outcome)
    if facts is None:
        path.unlink(missing_ok=True)
        _remove_all_but((), page, folder)
        return None
    looks = template_text(*page.templates, *_STYLES)
    made_from = digest([facts, outcome.study.spec_hash(), code_hash(*page.modules), looks])
    parts = page.parts(outcome) if page.parts is not None else {}
    for name, render in parts.items():
        _keep(folder / name, made_from, partial(render, outcome))
    _remove_all_but(parts, page, folder)
    _keep(path, made_from, partial(page.render, outcome))
    return path


def _keep(path: Path, made_from: str, render: Callable[[str], str]) -> None:
    if _made_from(path) != made_from:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, render(made_from).encode())


def _remove_all_but(names: Iterable[str], page: StudyPage, folder: Path) -> None:
    wanted = {folder / name for name in names}
    for path in (folder / page.parts_folder).glob("*.html") if page.parts_folder else ():
        if path not in wanted:
            path.unlink()


def _made_from(path: Path) -> str | None:
    """The digest in the head of a page; None without a page or a digest."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        found = _MADE_FROM.search(file.read(_HEAD_BYTES))
    return None if found is None else found[1]
