"""The UI's child: a request to stop reaches everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from quantlab_pipeline.commands.ui import _serve

PARENT = """\
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads process states from /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_whole_group(how: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    threading.Timer(0.3, os.kill, (os.getpid(), how)).start()
    began = time.monotonic()
    assert _serve(child) == 0
    assert time.monotonic() - began < 5
    assert not is_alive(grandchild)
    child.stdout.close()


def test_a_child_that_dies_alone_passes_its_code_on() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"], start_new_session=True)
    assert _serve(child) == 7
