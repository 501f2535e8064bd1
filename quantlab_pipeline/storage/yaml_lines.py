"""YAML read so that every key keeps the line on which it stands.

Belongs here: reading one file into plain values and lines, refusing what YAML lets pass in silence
(a key given twice, `no` for false, base-60 numbers). What the values mean is `spec_files`' matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from quantlab_pipeline.core.errors import SpecError

Location = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One file's content: plain values, the line of each key and item, the lines of each scalar."""

    shown: str
    content: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)
    scalars: list[tuple[str, int]] = field(default_factory=list)

    def line_of(self, location: Iterable[str | int]) -> int:
        """Line of the deepest part of `location` that the file holds; 1 if none."""
        at: Location = ()
        for step in location:
            deeper = (*at, str(step))
            if deeper in self.lines:
                at = deeper
        return self.lines.get(at, 1)

    def line_naming(self, names: Iterable[str], start: int = 1) -> int:
        """The line reached from `start` by going down to each of `names` that follows, in order."""
        line = start
        for name in names:
            line = next((at for text, at in self.scalars if text == name and at >= line), line)
        return line


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core types: `on` and `no` are words, 1e-3 is a number, a date is its model's."""


_Loader.yaml_implicit_resolvers = {}


_PATTERNS = {
    "null": r"~|null|",
    "bool": r"true|false",
    "int": r"[-+]?(0|[1-9][0-9_]*)",
    "float": r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?",
    "merge": r"<<",
}
for _tag, _pattern in _PATTERNS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), None
    )


def read_document(path: Path, shown: str) -> Document:
    """Read `path`, a mapping at its top. SpecError names `shown` and the line of any mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(
            f"{shown} does not exist.", "Create it, or name another.", file=shown
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{shown} is not UTF-8 text.", "Save it as UTF-8.", file=shown) from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise _mistake(shown, 1, "the top level must be a mapping", "Begin with `key: value`.")
        document = Document(shown, {})
        _walk(node, (), document, ancestors=())
        document.content.update(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or "unreadable"
        raise _mistake(
            shown, line, f"not YAML: {problem}", "Mend the line or the one above."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _mistake(shown, 1, f"not YAML: {error}", "Mend the file.") from error
    finally:
        loader.dispose()
    return document


def _walk(node: yaml.Node, at: Location, document: Document, ancestors: tuple[int, ...]) -> None:
    if id(node) in ancestors:
        raise _mistake(document.shown, _line(node), "the value holds itself", "Write it out.")
    below = (*ancestors, id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            here = (*at, name)
            if here in document.lines:
                first = document.lines[here]
                raise _mistake(
                    document.shown,
                    _line(key),
                    f"key `{name}` is given twice (first on line {first})",
                    "Keep one of them.",
                )
            document.lines[here] = _line(key)
            document.scalars.append((name, _line(key)))
            _walk(value, here, document, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here = (*at, str(index))
            document.lines[here] = _line(item)
            _walk(item, here, document, below)
    else:
        document.scalars.append((str(node.value), _line(node)))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _mistake(shown: str, line: int, problem: str, remedy: str) -> SpecError:
    return SpecError(f"{shown}:{line}: {problem}.", remedy, file=shown, line=line)
