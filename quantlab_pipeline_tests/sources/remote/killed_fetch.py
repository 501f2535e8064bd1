"""A fetch in a process of its own, to be killed: `... URL FOLDER FIRST LAST`, perpetual bars."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline_tests.sources.remote.builders import fetching

if __name__ == "__main__":
    url, folder, first, last = sys.argv[1:]
    days = days_between(date.fromisoformat(first), date.fromisoformat(last))
    fetching(url, Path(folder), days, ["bars_1m_perp"])
