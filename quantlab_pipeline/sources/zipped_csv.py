"""CSV in a zip, one file in each: rows in pieces, or one error that names file and line.

Belongs here: what the files of every archive of zipped CSV share. Which columns there are, and what
they mean, is the source's matter that reads them.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SourceError

PIECE_BYTES = 32 * 1024 * 1024
_FIRST_MS, _FIRST_US = 10**12, 10**15
_LAST_MS, _LAST_US = 5 * 10**12, 5 * 10**15
_REFETCH = "Fetch the file again, or remove it."
_KINDS: dict[object, str] = {
    pl.Int64: "a whole number",
    pl.Float64: "a number",
    pl.Boolean: "true or false",
}


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of CSV: all its columns in order, and those that are read, with their types.

    A `pl.Int64` among `stamps` is an instant in milliseconds or microseconds; a `pl.String` one is
    written as `text_stamp`, UTC. No row may leave a stamp or a column of `filled` empty. A file
    without a header may have the `trailing` columns after the others.
    """

    columns: tuple[str, ...]
    read: dict[str, pl.DataType | type[pl.DataType]]
    stamps: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    trailing: tuple[str, ...] = ()
    text_stamp: str = "%Y-%m-%d %H:%M:%S"


def read_rows(data: bytes, name: str, form: Format) -> pl.DataFrame:
    """All rows of one zipped CSV, in file order: the format's read columns, stamps as TS."""
    return pl.concat(read_pieces(data, name, form))


def read_text(text: bytes, name: str, form: Format) -> pl.DataFrame:
    """All rows of a CSV that is not zipped, as `read_rows` gives them."""
    return pl.concat(_pieces([text] if text else [], name, form))


def read_pieces(
    data: bytes, name: str, form: Format, piece_bytes: int = PIECE_BYTES
) -> Iterator[pl.DataFrame]:
    """Rows of one zipped CSV in pieces of about `piece_bytes` of text, at least one (maybe empty).

    The first line decides whether there is a header. Stamps are milliseconds or microseconds, told
    apart row by row by their size. SourceError, naming file and line, for a zip that is damaged, a
    column that is missing, a line that is cut, a number that is text, a stamp that is neither.
    """
    return _pieces(_lines(data, name, piece_bytes), name, form)


def _pieces(texts: Iterable[bytes], name: str, form: Format) -> Iterator[pl.DataFrame]:
    line = 1
    columns: list[str] | None = None
    for text in texts:
        body = text
        if columns is None:
            columns, body = _header(text, name, form)
            line += int(body is not text)
        yield _rows(body, name, form, columns, line)
        line += body.count(b"\n")
    if columns is None:
        yield _rows(b"", name, form, list(form.columns), line)


def _lines(data: bytes, name: str, piece_bytes: int) -> Iterator[bytes]:
    """The one CSV in a zip, in pieces that end with a line."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.namelist() if not m.endswith("/")]
            if len(members) != 1:
                raise SourceError(
                    f"{name} holds {len(members)} files, not one.", _REFETCH, file=name
                )
            with archive.open(members[0]) as member:
                rest = b""
                while block := member.read(piece_bytes):
                    whole, newline, tail = (rest + block).rpartition(b"\n")
                    rest = tail
                    if newline:
                        yield whole + newline
                if rest:
                    yield rest + b"\n"
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, RuntimeError) as error:
        # An encrypted member, or one packed in a way that Python does not know, is a RuntimeError.
        raise SourceError(
            f"{name} is not a whole zip file: {error}.", _REFETCH, file=name
        ) from error
    except zlib.error as error:
        raise SourceError(f"{name} is damaged inside: {error}.", _REFETCH, file=name) from error


def _header(text: bytes, name: str, form: Format) -> tuple[list[str], bytes]:
    """Column names (from the first line, or the format's own) and the text after them."""
    first, _, after = text.partition(b"\n")
    fields = [f.strip() for f in first.decode("utf-8", errors="replace").strip().split(",")]
    if not (fields[0][:1].isalpha() or fields[0][:1] == '"'):
        wide = [*form.columns, *form.trailing]
        if len(fields) not in (len(form.columns), len(wide)):
            raise SourceError(
                f"{name} has no header and {len(fields)} columns, not {len(form.columns)}.",
                _REFETCH,
                file=name,
                line=1,
            )
        return wide[: len(fields)], text
    columns = [f.strip('"') for f in fields]
    missing = [c for c in form.read if c not in columns]
    if missing:
        raise SourceError(
            f"{name} lacks the column {missing[0]}.", _REFETCH, file=name, columns=missing
        )
    return columns, after


def _rows(body: bytes, name: str, form: Format, columns: list[str], line: int) -> pl.DataFrame:
    types = {c: form.read.get(c, pl.String) for c in columns}
    if not body.strip():
        rows = pl.DataFrame(schema={c: form.read[c] for c in form.read})
    else:
        try:
            rows = pl.read_csv(body, has_header=False, schema=types).select(list(form.read))
        except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
            raise _unreadable(body, name, form, columns, line, str(error)) from error
        # A line that is cut reads as one whose last fields are empty.
        if body.count(b",") != rows.height * (len(columns) - 1):
            raise _unreadable(body, name, form, columns, line, "its lines differ in length")
    for column in form.filled:
        _all_filled(rows, column, name, line)
    return rows.with_columns(_stamp(rows, form, c, name, line) for c in form.stamps)


def _unreadable(
    body: bytes, name: str, form: Format, columns: list[str], line: int, problem: str
) -> SourceError:
    """The error that names the first line at fault, looked for only once something failed."""
    for offset, raw in enumerate(body.decode("utf-8", errors="replace").splitlines()):
        fields = raw.split(",")
        where = line + offset
        if len(fields) != len(columns):
            return _at(name, where, f"{len(fields)} fields, {len(columns)} columns")
        for column, value in zip(columns, fields, strict=True):
            kind = form.read.get(column)
            if kind in _KINDS and not _fits(value, kind):
                return _at(name, where, f"{column} is {value!r}, not {_KINDS[kind]}", column)
    return SourceError(f"{name} cannot be read as CSV: {problem}.", _REFETCH, file=name)


def _at(name: str, line: int, problem: str, column: str | None = None) -> SourceError:
    place = {} if column is None else {"column": column}
    return SourceError(f"{name}, line {line}: {problem}.", _REFETCH, file=name, line=line, **place)


def _fits(value: str, kind: object) -> bool:
    if value == "":
        return True
    if kind == pl.Boolean:
        return value.lower() in ("true", "false")
    try:
        int(value) if kind == pl.Int64 else float(value)
    except ValueError:
        return False
    return True


def _all_filled(rows: pl.DataFrame, column: str, name: str, line: int) -> None:
    empty = rows[column].is_null().arg_true()
    if empty.len():
        raise _at(name, line + int(empty[0]), f"{column} is empty", column)


def _stamp(rows: pl.DataFrame, form: Format, column: str, name: str, line: int) -> pl.Expr:
    """Expression for a stamp column as TS; SourceError at the first that is no instant."""
    if rows.schema[column] == pl.String:
        stamp = pl.col(column).str.to_datetime(form.text_stamp, time_unit="us", strict=False)
        stamp = stamp.dt.replace_time_zone("UTC")
    else:
        value = pl.col(column)
        stamp = (
            pl.when(value.is_between(_FIRST_US, _LAST_US))
            .then(value)
            .when(value.is_between(_FIRST_MS, _LAST_MS))
            .then(value * 1000)
            .cast(TS)
        )
    bad = rows.select(stamp.is_null().arg_true()).to_series()
    if bad.len():
        value = rows[column][int(bad[0])]
        problem = f"{column} is {value!r}, no instant in the format's units"
        raise _at(name, line + int(bad[0]), problem, column)
    return stamp.alias(column)
