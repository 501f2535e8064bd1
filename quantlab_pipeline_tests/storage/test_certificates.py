"""Certificates are kept by their nonce, the newest in front, and never half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantlab_pipeline.storage import certificates
from quantlab_pipeline.storage.certificates import (
    certificate_path,
    history,
    keep_certificate,
    read_certificate,
)


def made(nonce: str, **changes) -> dict:
    return {"nonce": nonce, "holds": True, **changes}


def test_the_newest_is_in_front_and_older_ones_are_kept(tmp_path: Path) -> None:
    keep_certificate(tmp_path, made("aa"), "<p>first</p>", b"{}")
    front = keep_certificate(tmp_path, made("bb"), "<p>second</p>", b"[1]")
    assert front == certificate_path(tmp_path)
    assert read_certificate(front) == made("bb")
    assert front.with_suffix(".html").read_text() == "<p>second</p>"
    assert front.with_name("truth.json").read_bytes() == b"[1]"
    assert [c["nonce"] for c in history(tmp_path)] == ["aa", "bb"]
    older = front.parent / "history" / "aa"
    assert older.joinpath("certificate.html").read_text() == "<p>first</p>"


def test_the_same_certificate_has_the_same_bytes(tmp_path: Path) -> None:
    first = keep_certificate(tmp_path / "a", {"nonce": "aa", "x": 1, "y": [0.1]}, "", b"")
    again = keep_certificate(tmp_path / "b", {"y": [0.1], "x": 1, "nonce": "aa"}, "", b"")
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("content", [None, "", "{half", "[1, 2]"])
def test_what_cannot_be_read_is_no_certificate(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "certificate.json"
    if content is not None:
        path.write_text(content)
    assert read_certificate(path) is None


@pytest.mark.parametrize("after", range(6))
def test_a_kill_leaves_the_old_certificate_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    keep_certificate(tmp_path, made("aa"), "old", b"old")
    writes, real = [], certificates.write_atomic

    def dies(path: Path, data: bytes) -> None:
        if len(writes) == after:
            raise KeyboardInterrupt
        writes.append(path)
        real(path, data)

    monkeypatch.setattr(certificates, "write_atomic", dies)
    with pytest.raises(KeyboardInterrupt):
        keep_certificate(tmp_path, made("bb", holds=False), "new", b"new")
    # The certificate itself is written last: what it names is already there.
    front = json.loads(certificate_path(tmp_path).read_bytes())
    assert front == made("aa")
