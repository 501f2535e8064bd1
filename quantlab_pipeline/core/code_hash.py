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


@functools.cache
def code_hash(*modules: str) -> str:
    """Digest of the source of `modules` and of all that they import from this package.

    Modules are dotted names. Unknown ones raise ModuleNotFoundError. Order does not matter.
    """
    seen: dict[str, str] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        source = _source(name)
        seen[name] = digest_bytes(source)
        todo.extend(_imports(name, source))
    return digest(seen)


def _path(name: str) -> Path | None:
    base = Path(__file__).resolve().parents[1].joinpath(*name.split(".")[1:])
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    package = base / "__init__.py"
    return package if package.is_file() else None


def _source(name: str) -> bytes:
    path = _path(name)
    if path is None:
        raise ModuleNotFoundError(name)
    return path.read_bytes()


def _imports(name: str, source: bytes) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, name)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [m for m in found if m.split(".")[0] == PACKAGE and _path(m) is not None]
