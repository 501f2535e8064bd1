"""`quantlab ui`: the Dagster UI over the project, as a child that ends with this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from types import FrameType

from quantlab_pipeline.commands.session import Session, UsageError

HOST = "127.0.0.1"
_LOCATION = ("-m", "quantlab_pipeline.definitions", "-a", "defs")
_GRACE_S = 20


def ui_command(session: Session, port: int) -> int:
    """Set up Dagster's home and the studies, then serve until Ctrl-C or SIGTERM; 0 after either."""
    _require_free(port)
    home = _prepare(session)
    environment = {**os.environ, "DAGSTER_HOME": home, "QUANTLAB_DATA": str(session.data)}
    command = [sys.executable, "-m", "dagster", "dev", "-h", HOST, "-p", str(port), *_LOCATION]
    session.say(f"Dagster UI on http://{HOST}:{port} (no login: this machine alone). Ctrl-C stops.")
    # A session of its own: one signal to its group reaches every process that it starts.
    child = subprocess.Popen(  # noqa: S603 (our own interpreter, no shell)
        command, cwd=session.project.root, env=environment, start_new_session=True
    )
    return _serve(child)


def _prepare(session: Session) -> str:
    from quantlab_pipeline.defs.instance import home_of, open_instance, sync_studies

    with open_instance(session.data) as instance:
        sync_studies(instance, session.project)
    return str(home_of(session.data))


def _serve(child: subprocess.Popen[bytes]) -> int:
    """Wait for the child; pass a request to stop on to its whole group."""
    asked = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        _signal_group(child, signal.SIGTERM)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    waited_s = 0
    try:
        while (code := child.poll()) is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1)
            waited_s += asked
            if waited_s > _GRACE_S:
                _signal_group(child, signal.SIGKILL)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return 0 if asked else code


def _signal_group(child: subprocess.Popen[bytes], what: signal.Signals) -> None:
    try:
        os.killpg(child.pid, what)
    except ProcessLookupError:
        return


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {HOST} is taken.", "Stop what uses it, or name another: --port."
            ) from error
