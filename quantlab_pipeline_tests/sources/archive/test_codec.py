"""The archive's own bytes: zips that are the same every day, and checksums that are theirs."""

from __future__ import annotations

import io
import zipfile

import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive import codec


def test_a_zip_of_ours_has_the_same_bytes_on_every_day():
    assert codec.make_zip("a.csv", b"1,2\n") == codec.make_zip("a.csv", b"1,2\n")
    with zipfile.ZipFile(io.BytesIO(codec.make_zip("a.csv", b"1\n"))) as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_checksum_of_other_bytes_is_refused():
    codec.verify_checksum("a.zip", b"x", codec.make_checksum("a.zip", b"x"))
    for wrong in (codec.make_checksum("a.zip", b"y"), b""):
        with pytest.raises(SourceError, match=r"a\.zip does not match"):
            codec.verify_checksum("a.zip", b"x", wrong)
