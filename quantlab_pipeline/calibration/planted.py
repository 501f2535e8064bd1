"""What a world planted, in the words of a study: event type, side, horizon.

Belongs here: the one dictionary between kinds of episode and types of event. Neither side knows the
other, so that no stage can be built around a world.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN
from quantlab_pipeline.worlds.truth import Episode, Truth

SHOWN_BY = {
    ("spread_burst", 1): "spread_blowout",
    ("depth_drop", 1): "depth_collapse",
    ("oi_jump", 1): "oi_surge",
    ("oi_jump", -1): "oi_flush",
    ("vol_burst", 1): "vol_regime_jump",
    ("wick", 1): "upper_wick",
    ("wick", -1): "lower_wick",
    ("funding_extreme", 1): "funding_rich",
    ("funding_extreme", -1): "funding_cheap",
    ("basis_dislocation", 1): "basis_rich",
    ("basis_dislocation", -1): "basis_cheap",
    ("mark_dislocation", 1): "mark_dislocation",
    ("mark_dislocation", -1): "mark_dislocation",
    ("volume_spike", 1): "absorbed_volume",
}
"""The event type by which an episode of a kind and direction is seen."""


@dataclass(frozen=True, slots=True, order=True)
class Planted:
    """One edge as it was planted: after `n_episodes` of `kind`, `drift_bps` over `over_min`.

    `side` is +1 where the price rises. `horizon` is the study's that lasts as long, null if none
    does.
    """

    event_type: str
    kind: str
    side: int
    drift_bps: float
    over_min: int
    horizon: str | None
    n_episodes: int


def planted_types(truth: Truth) -> list[Planted]:
    """Every planted edge of the world, sorted; episodes without a drift are none."""
    groups: dict[tuple[str, int, float, int], int] = {}
    for episode in truth.episodes:
        if episode.drift_bps:
            key = _edge_of(episode)
            groups[key] = groups.get(key, 0) + 1
    lengths = {minutes: name for name, minutes in HORIZONS_MIN.items()}
    return sorted(
        Planted(
            event_type=SHOWN_BY[kind, direction],
            kind=kind,
            side=1 if drift > 0 else -1,
            drift_bps=drift,
            over_min=minutes,
            horizon=lengths.get(minutes),
            n_episodes=count,
        )
        for (kind, direction, drift, minutes), count in groups.items()
    )


def _edge_of(episode: Episode) -> tuple[str, int, float, int]:
    minutes = (episode.drift_to_us - episode.drift_from_us) // MINUTE_US
    return episode.kind, 1 if episode.size > 0 else -1, episode.drift_bps, minutes
