"""Where certificates of the calibration are kept: every run by its nonce, the newest in front.

Belongs here: places and the order of writes. A run is whole in `history/` before the front shows
it, so that a kill at any instant leaves the old certificate or the new one. What a certificate says
is `calibration.certificate`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.fingerprints import canonical_bytes
from quantlab_pipeline.storage.objects import write_atomic

CERTIFICATE, PAGE, TRUTH = "certificate.json", "certificate.html", "truth.json"


def certificate_path(data: Path) -> Path:
    """The newest certificate's place; there may be none."""
    return data / "calibration" / CERTIFICATE


def read_certificate(path: Path) -> dict[str, Any] | None:
    """The certificate at `path`, or None where there is none, or what is there cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def history(data: Path) -> Iterator[dict[str, Any]]:
    """Every certificate that was kept, in the order of their nonces."""
    for path in sorted((data / "calibration" / "history").glob(f"*/{CERTIFICATE}")):
        found = read_certificate(path)
        if found is not None:
            yield found


def keep_certificate(data: Path, document: dict[str, Any], page: str, truth: bytes) -> Path:
    """Keep a run under its nonce and show it in front; the front certificate's place.

    The truth is the opened one, as it was sealed.
    """
    files = {
        TRUTH: truth,
        PAGE: page.encode(),
        CERTIFICATE: canonical_bytes(document),
    }
    front = certificate_path(data)
    for folder in (front.parent / "history" / str(document["nonce"]), front.parent):
        for name, content in files.items():
            write_atomic(folder / name, content)
    return front
