"""What code a stage is made of: everything that it imports, and glue for itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab_pipeline.core import code_hash as module
from quantlab_pipeline.core.code_hash import ALONE, code_hash

SOURCES = {
    "glue": "from quantlab_pipeline.stage import verb\n",
    "stage/__init__": "",
    "stage/verb": "def verb():\n    from quantlab_pipeline import words\n    return words\n",
    "stage/other": "from . import verb\n",
    "words": "WORD = 1\n",
    "stranger": "from quantlab_pipeline import words\n",
}
STAGE = "quantlab_pipeline.stage"
VERB = "quantlab_pipeline.stage.verb"
GLUE = "quantlab_pipeline.glue"


class House:
    """A package on disk whose sources a test edits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, source in SOURCES.items():
            self.edit(name, source)

    def edit(self, name: str, source: str) -> None:
        path = self.root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    def hash(self, *names: str) -> str:
        """As a fresh process would see it."""
        forget()
        return code_hash(*names)


def forget() -> None:
    code_hash.cache_clear()
    module._read.cache_clear()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_place", lambda name: tmp_path.joinpath(*name.split(".")[1:]))
    yield House(tmp_path)
    forget()


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("words", {STAGE, VERB, GLUE}),
        ("stage/verb", {STAGE, VERB, GLUE}),
        ("stage/other", {STAGE}),
        ("glue", {GLUE, GLUE + ALONE}),
        ("stranger", set()),
    ],
)
def test_an_edit_is_seen_where_the_code_is_used_and_nowhere_else(
    house: House, edited: str, changed: set[str]
) -> None:
    names = (STAGE, VERB, GLUE, GLUE + ALONE)
    before = {name: house.hash(name) for name in names}
    house.edit(edited, SOURCES[edited] + "# edited\n")
    assert {name for name in names if house.hash(name) != before[name]} == changed


def test_glue_stands_alone_beside_a_stage_that_is_followed(house: House) -> None:
    before = house.hash(VERB, GLUE + ALONE)
    assert before not in (house.hash(VERB), house.hash(GLUE + ALONE), house.hash(VERB, GLUE))
    house.edit("stage/other", "x = 1\n")
    assert house.hash(VERB, GLUE + ALONE) == before
    house.edit("words", "WORD = 2\n")
    assert house.hash(VERB, GLUE + ALONE) != before


def test_alone_is_another_question_than_with_its_imports(house: House) -> None:
    house.edit("glue", "x = 1\n")
    assert house.hash(GLUE) != house.hash(GLUE + ALONE)


def test_the_order_of_the_names_does_not_matter(house: House) -> None:
    assert house.hash(GLUE + ALONE, VERB) == house.hash(VERB, GLUE + ALONE)


def test_a_module_that_is_not_there_is_named(house: House) -> None:
    for name in ("quantlab_pipeline.nowhere", "quantlab_pipeline.nowhere" + ALONE):
        with pytest.raises(ModuleNotFoundError, match="nowhere"):
            house.hash(name)
