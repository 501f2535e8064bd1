"""What sources sent, byte for byte, under `raw/<source>/<dataset>/<symbol>/<name>`.

Belongs here: keeping bytes once, and telling a first version from a later correction. A card
(`<name>.card.json`) beside the bytes lists every version with its URL, digest and arrival.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest_bytes, short
from quantlab_pipeline.core.ports import RawFile
from quantlab_pipeline.storage.manifests import safe_name
from quantlab_pipeline.storage.objects import Objects, open_objects


class FileRawSink:
    """`core.ports.RawSink` under a lake's root. `clock` dates the arrival of corrections."""

    def __init__(self, root: Objects | Path | str, clock: Clock) -> None:
        self._objects = open_objects(root)
        self._clock = clock

    def put(
        self, source: str, dataset: str, symbol: str, name: str, data: bytes, url: str
    ) -> RawFile:
        """Keep `data`. Known bytes change nothing and give the version that was recorded first.

        Other bytes under the same name are kept beside the first as `<name>@<hash>`, with the
        instant of their arrival, which is a fact of the data.
        """
        folder = "/".join(["raw", *map(safe_name, (source, dataset, symbol))])
        key = f"{folder}/{safe_name(name)}"
        sha = digest_bytes(data)
        versions = self._versions(key, source, dataset, symbol, name)
        known = next((v for v in versions if v.sha256 == sha), None)
        if known is not None:
            self._mend(known, data)
            return known
        path = f"{key}@{short(sha)}" if versions else key
        arrived = self._clock() if versions else None
        self._objects.put(path, data)
        file = RawFile(source, dataset, symbol, name, path, sha, url, arrived)
        self._objects.put(_card_key(key), canonical_bytes([_card(v) for v in [*versions, file]]))
        return file

    def read(self, file: RawFile) -> bytes:
        """The bytes of `file`. SourceError if they are gone or differ from their digest."""
        try:
            data = self._objects.get(file.path)
        except FileNotFoundError as error:
            raise SourceError(
                f"The raw file {file.path} is gone.", f"Fetch it again: {file.url}.", path=file.path
            ) from error
        if digest_bytes(data) != file.sha256:
            raise SourceError(
                f"The raw file {file.path} does not have its checksum.",
                f"Delete it and fetch it again: {file.url}.",
                path=file.path,
                sha256=file.sha256,
            )
        return data

    def versions(self, source: str, dataset: str, symbol: str, name: str) -> list[RawFile]:
        """Every version kept under `name`, the first one first."""
        folder = "/".join(["raw", *map(safe_name, (source, dataset, symbol))])
        return self._versions(f"{folder}/{safe_name(name)}", source, dataset, symbol, name)

    def _versions(
        self, key: str, source: str, dataset: str, symbol: str, name: str
    ) -> list[RawFile]:
        try:
            cards = json.loads(self._objects.get(_card_key(key)))
        except FileNotFoundError:
            return []
        first = RawFile(source, dataset, symbol, name, key, "", "")
        return [replace(first, **_fields(card)) for card in cards]

    def _mend(self, known: RawFile, data: bytes) -> None:
        """Put the bytes back if they were lost or damaged after their card was written."""
        stat = self._objects.stat(known.path)
        if stat is None or stat.size != len(data) or self._objects.get(known.path) != data:
            self._objects.put(known.path, data)


def _card_key(key: str) -> str:
    return f"{key}.card.json"


def _card(file: RawFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "sha256": file.sha256,
        "url": file.url,
        "arrived_at": file.arrived_at,
    }


def _fields(card: dict[str, Any]) -> dict[str, Any]:
    arrived = card["arrived_at"]
    return {**card, "arrived_at": None if arrived is None else datetime.fromisoformat(arrived)}
