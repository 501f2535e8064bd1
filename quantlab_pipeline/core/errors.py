"""The errors a person may meet: what is wrong, where, and how to mend it.

Belongs here: the root class and the errors that more than one floor raises. An error that one
module alone raises lives beside its cause. Bad data is not an error but a `Finding`.
"""

from __future__ import annotations

from typing import Any


class QuantlabError(Exception):
    """Root of every error that has a remedy. The command prints it and exits with `exit_code`.

    Fields are keyword arguments of `__init__`; `__reduce__` keeps them across processes.
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str, **fields: Any) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.problem, self.remedy, self.fields))


def _rebuild(
    cls: type[QuantlabError], problem: str, remedy: str, fields: dict[str, Any]
) -> QuantlabError:
    error = cls.__new__(cls)
    QuantlabError.__init__(error, problem, remedy, **fields)
    return error


class SpecError(QuantlabError):
    """A document under `specs/` asks for something that cannot be: unknown key, wrong unit."""


class SourceError(QuantlabError):
    """A source's file is missing, damaged or not of its format."""


class MissingPartitionError(QuantlabError):
    """A day or study that a reader needs was never written."""


class SchemaError(QuantlabError):
    """A table does not have the columns, types or ranges that its schema states."""


class GateNotPassedError(QuantlabError):
    """A gated table without a current verdict that admits it was asked for: GATE_NOT_PASSED."""

    exit_code = 3
    code = "GATE_NOT_PASSED"


class LedgerError(QuantlabError):
    """The trial ledger is broken, shorter than its anchor, or over its budget."""
