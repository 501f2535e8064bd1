"""The border of the command: what a command returns becomes the exit code, an error one message.

Belongs here: which errors are a person's to mend, and how they are told. Anything else is a bug and
passes through.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

FULL_DISK = ("No space left on device", "disk is full", "Disk quota exceeded")


class Border(TyperGroup):
    """Turns what a command returns into the exit code, and errors into one message each."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and exit with what it returns, or with an error's own code."""
        try:
            code = super().invoke(ctx)
        except KeyboardInterrupt:
            raise _ended("interrupted; run it again to go on where it stopped", 130) from None
        except Exception as error:
            told = told_of(error)
            if told is None:
                raise
            raise _ended(*told) from None
        raise typer.Exit(code or 0)


def told_of(error: Exception) -> tuple[str, int] | None:
    """What to say of `error` and the code, None for what is not a person's to mend."""
    from quantlab_pipeline.core.errors import QuantlabError

    if isinstance(error, QuantlabError):
        code = getattr(error, "code", None)
        return f"{code + ': ' if code else ''}{error}", error.exit_code
    if any(_is_full_disk(e) for e in _chain(error)):
        return "No space left on the disk. Free some (see `quantlab doctor`) and run again.", 2
    return None


def _is_full_disk(error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return full or any(sign in str(error) for sign in FULL_DISK)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it. Errors that were raised again may stand in a circle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _ended(message: str, code: int) -> typer.Exit:
    typer.echo(f"quantlab: {' '.join(message.split())}", err=True)
    return typer.Exit(code)
