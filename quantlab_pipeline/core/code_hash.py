"""What code a stage is made of: its modules and everything of ours that they import.

A verdict names the code that gave it; this module finds that code by reading import statements,
without running anything.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

from quantlab_pipeline.core.fingerprints import digest, digest_bytes

PACKAGE = "quantlab_pipeline"
ALONE = "!"
"""Ending of a module's name whose imports are not followed: glue that hands tables to a stage."""


@functools.cache
def code_hash(*modules: str) -> str:
    """Digest of the source of `modules` and of all that they import from this package.

    Modules are dotted names; a package stands for all that lies in it, and a name that ends in
    `ALONE` for its own source without its imports. Unknown ones raise ModuleNotFoundError. The
    order of the names does not matter.
    """
    alone = {m.removesuffix(ALONE) for m in modules if m.endswith(ALONE)}
    seen = {f"{name}{ALONE}": _read(name)[0] for name in sorted(alone)}
    todo = [name for m in modules if not m.endswith(ALONE) for name in _inside(m)]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name], imports = _read(name)
            todo.extend(imports)
    return digest(seen)


def _place(name: str) -> Path:
    return Path(__file__).resolve().parents[1].joinpath(*name.split(".")[1:])


def _inside(name: str) -> list[str]:
    folder = _place(name)
    if not folder.is_dir():
        return [name]
    files = sorted(folder.rglob("*.py"))
    stems = (f.relative_to(folder).with_suffix("").parts for f in files)
    return [".".join((name, *(p for p in parts if p != "__init__"))) for parts in stems]


def _path(name: str) -> Path | None:
    base = _place(name)
    module, package = base.with_suffix(".py"), base / "__init__.py"
    return next((p for p in (module, package) if p.is_file()), None)


@functools.cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    path = _path(name)
    if path is None:
        raise ModuleNotFoundError(name)
    source = path.read_bytes()
    return digest_bytes(source), tuple(_imports(name, path.name == "__init__.py", source))


def _imports(name: str, is_package: bool, source: bytes) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                home = name if is_package else name.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, home)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [m for m in found if m.split(".")[0] == PACKAGE and _path(m) is not None]
