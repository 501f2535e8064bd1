"""Generate a market whose truth is known: a venue's frames, and apart from them the truth.

Nothing in the frames reveals the truth. Damage is done last, to finished frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quantlab_pipeline.worlds.bars import hourly, print_bars
from quantlab_pipeline.worlds.book import write_quotes
from quantlab_pipeline.worlds.damage.apply import apply_damage
from quantlab_pipeline.worlds.derivatives import (
    mark_and_index,
    mark_index_table,
    open_interest_table,
)
from quantlab_pipeline.worlds.effects import lay_out
from quantlab_pipeline.worlds.endings import end_frames, endings
from quantlab_pipeline.worlds.funding import funding_table, settle
from quantlab_pipeline.worlds.guards import check_paths
from quantlab_pipeline.worlds.paths import draw_paths
from quantlab_pipeline.worlds.placement import describe, place_episodes
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.timing import origin_us, symbols_of
from quantlab_pipeline.worlds.truth import Truth


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A generated market.

    `frames` holds bars_1m_perp, bars_1m_spot, funding, mark_index, open_interest (columns of the
    lake's tables, sorted by symbol and ts unless damaged), `book` (quotes written on change), and
    bars_1h_perp and bars_1h_spot, the whole hours of the bars before any damage was done to them. A
    damaged frame may have the column `filed_on`: the day in whose file a misfiled row stands.
    """

    scenario: Scenario
    seed: int
    frames: dict[str, pl.DataFrame]
    truth: Truth


def generate(scenario: Scenario, seed: int | None = None) -> World:
    """The world of `scenario` under `seed` (default: its own). Same arguments, same bytes.

    Raises SpecError where episodes find no room and WorldGuardError for impossible paths.
    """
    seed = scenario.seed if seed is None else seed
    onsets = place_episodes(scenario, seed)
    episodes = describe(scenario, onsets, seed)
    effects = lay_out(scenario, onsets, episodes)
    paths = draw_paths(scenario, seed, effects)
    check_paths(scenario, paths)
    mark, index = mark_and_index(scenario, seed, paths, effects)
    premiums = settle(scenario, paths, effects)
    frames = {
        "bars_1m_perp": print_bars(scenario, seed, paths, paths.perp, "perp", effects),
        "bars_1m_spot": print_bars(scenario, seed, paths, paths.spot, "spot", effects),
        "funding": funding_table(scenario, seed, premiums, mark),
        "mark_index": mark_index_table(scenario, mark, index, premiums.index),
        "open_interest": open_interest_table(scenario, seed, paths, effects, mark),
        "book": write_quotes(scenario, seed, paths, effects),
    }
    frames = end_frames(frames, scenario)
    frames |= {f"bars_1h_{leg}": hourly(frames[f"bars_1m_{leg}"]) for leg in ("perp", "spot")}
    frames, damage = apply_damage(frames, scenario.damage, seed)
    truth = Truth(
        scenario=scenario.name,
        scenario_hash=scenario.spec_hash(),
        seed=seed,
        origin_us=origin_us(scenario),
        symbols=symbols_of(scenario),
        drift_log=paths.drift,
        episodes=episodes,
        damage=damage,
        endings=endings(scenario),
    )
    return World(scenario=scenario, seed=seed, frames=frames, truth=truth)
