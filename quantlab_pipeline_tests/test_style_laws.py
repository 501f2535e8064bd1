"""The house's style, kept by a machine: small rooms, docstrings, no unfinished work, oracles."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from quantlab_pipeline_tests.source_laws import (
    PACKAGE,
    REPOSITORY,
    TESTS,
    Law,
    Module,
    functions,
    modules,
    offences,
)

LONGEST_FUNCTION = 70
LONGEST_FILE = 400
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|placeholder)\b")
MACHINE_PATH = re.compile(r"/(?:work|farm|root|home|tmp|Users)/\w")
EVENT_LOOPS: dict[str, str] = {}
"""Functions past the limit, each with the measured cost of a split (over 5 %)."""


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(node, clean=False)
    inside = docstring.count("\n") + 1 if docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - inside


def functions_are_small(module: Module) -> Iterator[str]:
    for node in functions(module.tree):
        length = lines_without_docstring(node)
        if length > LONGEST_FUNCTION and f"{module.inside}:{node.name}" not in EVENT_LOOPS:
            yield f"{module.at(node)} {node.name} has {length} lines without its docstring"


def files_are_small(module: Module) -> Iterator[str]:
    length = module.text.count("\n")
    if length > LONGEST_FILE:
        yield f"{module.place} has {length} lines"


def modules_say_what_belongs_in_them(module: Module) -> Iterator[str]:
    if len(ast.get_docstring(module.tree) or "") < 20:
        yield f"{module.place} does not say what belongs in it"


def public_names_have_docstrings(module: Module) -> Iterator[str]:
    yield from _undocumented(module, module.tree.body)


def _undocumented(module: Module, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node) and not _is_overload(node):
            yield f"{module.at(node)} {node.name} has no docstring"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _undocumented(module, node.body)


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(d).endswith("overload") for d in node.decorator_list)


def nothing_is_unfinished(module: Module) -> Iterator[str]:
    for number, line in enumerate(module.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{module.place}:{number} speaks of unfinished work: {line.strip()}"


def no_path_of_a_machine(module: Module) -> Iterator[str]:
    for number, line in enumerate(module.text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield f"{module.place}:{number} holds a path of one machine: {line.strip()}"


def annotations_are_postponed(module: Module) -> Iterator[str]:
    postponed = "from __future__ import annotations" in module.text
    if module.tree.body[1:] and not postponed and not _dagster_resolves_annotations(module):
        yield f"{module.place} lacks `from __future__ import annotations`"


def _dagster_resolves_annotations(module: Module) -> bool:
    """Whether Dagster evaluates annotations of this module while it loads.

    It does so for functions that it decorates, and for resources and IO managers: names that are
    local to a factory, or annotations of a generic field, do not resolve there once postponed.
    """
    decorated = (d for node in functions(module.tree) for d in node.decorator_list)
    classes = (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))
    rim = [*decorated, *(base for node in classes for base in node.bases)]
    texts = (ast.unparse(node) for node in rim)
    return module.inside.startswith("defs/") and any(text.startswith("dg.") for text in texts)


def comments_say_why_and_are_few(module: Module) -> Iterator[str]:
    lines = module.text.count("\n")
    comments = [
        t
        for t in tokenize.generate_tokens(io.StringIO(module.text).readline)
        if t.type == tokenize.COMMENT and "noqa" not in t.string and "type:" not in t.string
    ]
    if lines > 50 and len(comments) > 0.12 * lines:
        yield f"{module.place} has {len(comments)} comments on {lines} lines; names should speak"


LONG = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
LAWS: list[tuple[Law, str]] = [
    (functions_are_small, LONG),
    (files_are_small, "x = 1\n" * (LONGEST_FILE + 1)),
    (modules_say_what_belongs_in_them, "x = 1\n"),
    (public_names_have_docstrings, '"""A."""\nclass A:\n    """B."""\n    def f(self): ...\n'),
    (nothing_is_unfinished, "x = 1  # TO" + "DO: y\n"),
    (no_path_of_a_machine, "x = '/ho" + "me/me/data'\n"),
    (annotations_are_postponed, '"""A."""\nx = 1\n'),
    (comments_say_why_and_are_few, "x = 1  # one\n" * 60),
]


DAGSTER_READS_IT = '"""A."""\nimport dagster as dg\n@dg.asset\ndef f(context: dg.Context): ...\n'


def test_annotations_may_stand_where_dagster_resolves_them_and_nowhere_else() -> None:
    def found(place: str, text: str) -> list[str]:
        return list(annotations_are_postponed(Module(f"quantlab_pipeline/{place}", text)))

    assert not found("defs/x.py", DAGSTER_READS_IT)
    assert len(found("core/x.py", DAGSTER_READS_IT)) == 1
    assert len(found("defs/x.py", DAGSTER_READS_IT.replace("@dg.asset\n", ""))) == 1


@pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=lambda f: f.__name__)
def test_law(law: Law) -> None:
    found = offences(law)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("law", "text"), LAWS, ids=lambda v: getattr(v, "__name__", ""))
def test_the_law_sees_a_planted_offence(law: Law, text: str) -> None:
    assert len(list(law(Module("quantlab_pipeline/core/x.py", text)))) == 1


# --- kernels -----------------------------------------------------------------------------------


def kernels() -> list[tuple[Module, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public compiled functions of `kernels/`."""
    return [
        (module, node)
        for module in modules(PACKAGE / "kernels")
        for node in functions(module.tree)
        if not node.name.startswith("_")
        and any("njit" in ast.unparse(d) for d in node.decorator_list)
    ]


def test_every_kernel_is_compiled_once_and_kept() -> None:
    loose = [
        module.at(node)
        for module in modules(PACKAGE / "kernels")
        for node in functions(module.tree)
        for d in node.decorator_list
        if "njit" in ast.unparse(d) and "cache=True" not in ast.unparse(d)
    ]
    assert not loose, f"njit without cache=True: {loose}"


def test_kernels_take_few_arguments() -> None:
    many = [f"{m.at(n)} {n.name}" for m, n in kernels() if len(n.args.args) > 10]
    assert not many, f"about eight arguments, a NamedTuple counts one: {many}"


def test_every_kernel_meets_an_oracle() -> None:
    # Named by its slow twin's module, or by a test that imports one.
    texts = [m.text for m in modules(TESTS) if "quantlab_pipeline_tests.oracles" in m.text]
    texts += [m.text for m in modules(TESTS / "oracles")]
    alone = [
        f"{module.at(node)} {node.name}"
        for module, node in kernels()
        if not any(re.search(rf"\b{node.name}\b", text) for text in texts)
    ]
    assert not alone, "no oracle, and no test of one, names these kernels:\n" + "\n".join(alone)


# --- specs -------------------------------------------------------------------------------------


def test_specs_hold_no_path_of_a_machine() -> None:
    bad = [
        f"{path.relative_to(REPOSITORY)}"
        for path in sorted((REPOSITORY / "specs").rglob("*.yaml"))
        if MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    ]
    assert not bad
