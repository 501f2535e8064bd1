"""The base of every spec: frozen, closed, named by its hash.

Stages define their specs as subclasses; reading the YAML files (with the line of every mistake) is
`storage.spec_files`' work.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from quantlab_pipeline.core.fingerprints import digest


class Spec(BaseModel):
    """A closed, immutable document. Unknown keys fail; equal content has an equal hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)

    def spec_hash(self) -> str:
        """Tagged digest of the content; independent of key order and white space."""
        return digest(self)
