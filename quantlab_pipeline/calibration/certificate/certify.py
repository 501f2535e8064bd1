"""The whole run: the seal, all markets side by side, the grading, and the mutants' fate.

Belongs here: the order of the run. What the certificate says of it is `document`'s matter; where it
is kept and how it is drawn, the command's and the page's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.grading import Cases, Graded, grade, opened
from quantlab_pipeline.calibration.certificate.limits import Held
from quantlab_pipeline.calibration.certificate.mutants import CONTROL, MUTANTS, Mutant
from quantlab_pipeline.calibration.certificate.rounds import Round, play, play_size
from quantlab_pipeline.calibration.certificate.sealing import Plan, Sealed, Secret, open_seal, seal
from quantlab_pipeline.calibration.certificate.sizes import null_world
from quantlab_pipeline.calibration.in_memory import Progress, silent
from quantlab_pipeline.core.code_hash import code_hash

Floats = npt.NDArray[np.float64]
THREADS = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")
"""Where several processes work, one thread each is enough."""


def certificate_code() -> str:
    """Digest of the code that a certificate speaks for: the experiments and all they call."""
    return code_hash("quantlab_pipeline.calibration.certificate")


@dataclass(frozen=True, slots=True)
class Job:
    """One market's work: a secret to be played, or the seed of a null market for the tail."""

    secret: Secret | None
    seed: int
    copy: bool = False
    mutants: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a broken rule: the bands that it broke."""

    mutant: Mutant
    broken: tuple[Held, ...]

    @property
    def killed(self) -> bool:
        """Whether an experiment that is meant for it refuses it."""
        return any(held.experiment in self.mutant.meant_for for held in self.broken)


@dataclass(frozen=True, slots=True)
class Run:
    """A graded run. `truth` are the sealed bytes, `digest` their seal, published before.

    `control` are the bands that our own rule breaks when it answers through the mutants' code.
    """

    sealed: Sealed
    truth: bytes
    digest: str
    plan: Plan
    cases: Cases
    graded: Graded
    fates: tuple[Fate, ...]
    control: tuple[Held, ...]

    @property
    def holds(self) -> bool:
        """Every band holds, every mutant is killed, and the control breaks nothing."""
        bands = all(held.holds for held in self.graded.held)
        return bands and all(fate.killed for fate in self.fates) and not self.control


def certify(
    bench: Bench,
    nonce: str,
    plan: Plan,
    *,
    processes: int = 1,
    tell_seal: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Run:
    """Run every experiment of `plan` under `nonce`. Same code, documents, nonce and plan, same run.

    `tell_seal` receives the truth's digest before a market is drawn. The number of `processes`
    changes nothing but the time.
    """
    secret = seal(certificate_code(), nonce, plan)
    truth, digest = secret.to_json(), secret.digest()
    tell_seal(digest)
    rounds: list[Round] = []
    sizes: list[Mapping[str, Floats]] = []
    jobs = _jobs(secret, plan)
    for done, result in enumerate(_work(bench, jobs, processes)):
        if isinstance(result, Round):
            rounds.append(result)
        else:
            sizes.append(result)
        progress(f"market {done + 1}", done + 1, len(jobs))
    return _graded(bench, open_seal(truth, digest), truth, digest, plan, rounds, sizes)


def _jobs(secret: Sealed, plan: Plan) -> list[Job]:
    played = [
        Job(world, world.seed, k < plan.copied_worlds, k < plan.mutant_worlds)
        for k, world in enumerate(secret.worlds)
    ]
    return [*played, *(Job(None, seed) for seed in secret.size_seeds)]


def _do(bench: Bench, job: Job) -> Round | dict[str, Floats]:
    if job.secret is None:
        return play_size(bench, job.seed)
    return play(bench, job.secret, copy=job.copy, mutants=job.mutants)


def _work(bench: Bench, jobs: Sequence[Job], processes: int) -> Iterator[Round | dict[str, Floats]]:
    """Results in the order of `jobs`, whoever is done first."""
    if processes < 2:
        yield from map(partial(_do, bench), jobs)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # A terminal's Ctrl-C reaches every process: this one alone answers it.
    quiet: dict[str, Any] = {
        "initializer": signal.signal,
        "initargs": (signal.SIGINT, signal.SIG_IGN),
    }
    with (
        _single_threaded(),
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), **quiet) as pool,
    ):
        try:
            yield from pool.map(partial(_do, bench), jobs)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes that begin inside use one thread each; this one is as it was."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _graded(
    bench: Bench,
    secret: Sealed,
    truth: bytes,
    digest: str,
    plan: Plan,
    rounds: Sequence[Round],
    sizes: Sequence[Mapping[str, Floats]],
) -> Run:
    ours = [r.ours for r in rounds]
    cases = opened(ours, [world.names for world in secret.worlds])
    horizons = [words[2] for words in cases["null"][0].asked]
    beside = [null_world(bench, figures, horizons) for figures in sizes]
    graded = grade(bench, cases, ours, beside)
    fates = {rule.name: Fate(rule, _broken(bench, rule, rounds)) for rule in (CONTROL, *MUTANTS)}
    control = fates.pop(CONTROL.name).broken
    return Run(secret, truth, digest, plan, cases, graded, tuple(fates.values()), control)


def _broken(bench: Bench, rule: Mutant, rounds: Sequence[Round]) -> tuple[Held, ...]:
    """The bands that `rule` breaks on the worlds that it was shown."""
    played = [r.mutants[rule.name] for r in rounds if r.mutants]
    if not played:
        return ()
    plain = [{name: name for name in world.answers} for world in played]
    graded = grade(bench, opened(played, plain), played)
    return tuple(held for held in graded.held if not held.holds)
