# ---
# A first look at a lake, as a notebook in percent format: Jupyter, VS Code and PyCharm open it.
# Run `quantlab run smoke` before. The tests run this file as it stands.
# ---
"""First look: open a lake, see what is in it, read tables with the gates in force, ask SQL."""

# %% Open the lake. With several markets, name one.
import numpy as np
import polars as pl

import quantlab_pipeline as ql
from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.kernels.bar_targets import crossing_targets

lake = ql.open_lake("world_smoke")
print(lake.tables().select("table", "stage", "gate", "written"))

# %% Bars of two days: what D0 admitted, stamped by their close, UTC.
bars = lake.table("bars_1m_perp", "2025-03-01", "2025-03-02")
print(bars.group_by("symbol", maintain_order=True).agg(pl.len(), pl.col("volume_base").sum()))

# %% Trade on them: two averages that cross, without costs (T0) and with all of them (T1).
simulator = ql.open_simulator()
one = bars.filter(pl.col("symbol") == bars["symbol"][0]).sort("ts")
close = one["close"].to_numpy()
targets = crossing_targets(close, np.array([10, 60]), np.array([60, 360]))
for tier in ("T0", "T1"):
    stats = simulator.sweep(one, targets, tier)
    print(tier, "net bps:", (1e4 * stats.equity).round(1), "orders:", stats.n_orders)

# %% Features as they could be known at `ts`; null is warm-up or missing input.
features = lake.table(
    "features_pt", "2025-03-03", columns=["symbol", "ts", "spread_bps", "rv_1h_bps"]
)
print(features.describe())

# %% What followed each wide spread: events joined to labels on symbol and time.
events = lake.table("events", "2025-03-01", "2025-03-07")
labels = lake.table(
    "labels_fwd", "2025-03-01", "2025-03-07", columns=["symbol", "ts", "fwd_ret_1h"]
)
after = events.join(labels, on=["symbol", "ts"], how="left", maintain_order="left")
print(
    after.group_by("event_type")
    .agg(pl.len().alias("n"), (1e4 * pl.col("fwd_ret_1h").mean()).alias("mean_1h_bps"))
    .sort("n", "event_type", descending=[True, False])
)

# %% The same by SQL, on what the gates admit.
prevalence = lake.sql(
    "select event_type, symbol, count(*) as n from events group by all order by 3 desc, 1, 2",
    "2025-03-01",
    "2025-03-07",
)
print(prevalence.head(10))

# %% Why a gate said what it said. `current` is false once code, specs or data have changed.
verdicts = lake.verdicts("E-1")
print(verdicts.filter(pl.col("outcome") != "PASS").select("item", "outcome", "reasons"))

# %% A gate is in force here too: V1 admits nothing on a week of two symbols, and says so.
try:
    lake.study("smoke", "phase2_candidates")
except GateNotPassedError as refusal:
    print(refusal)
