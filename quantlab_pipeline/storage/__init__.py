"""Bytes: the lake (one door), manifests, verdicts, the trial ledger, the catalog, spec files."""
