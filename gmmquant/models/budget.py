"""Limits on the work of a fit, all in one place.

Work is counted in scores: a score is that of one component for one cell, and costs about 4 ns.
The limits hold unless the caller sets `max_iter`. They were chosen on thirteen photographs (docs/benchmarks.md).
"""

# --- The levels of a mixture (coarse_to_fine) ---

# Cells per component at the level where a fit starts, at least.
MIN_CELLS_PER_COMPONENT = 8

# One sweep over the level where a fit starts.
MAX_STARTING_SWEEP_SCORES = 256_000_000

# All sweeps of EM at one level.
MAX_LEVEL_SCORES = 128_000_000

# Cells of a finer level: two sweeps over 940,000 took 95 ms and gained 0.00006 nats.
MAX_FINER_CELLS = 400_000

# Iterations of EM at all levels together.
MAX_ITERATIONS = 500

# --- The starts of a mixture (coarse_to_fine) ---

# Seeding of all starts together: with thousands of components a seeding takes a minute, and only one start is tried.
MAX_SEEDING_SCORES = 8_000_000

# KMeans of one start, and the tolerance at which it stops.
MAX_START_KMEANS_SCORES = 64_000_000
START_KMEANS_TOL = 1e-3

# EM of one start, before the best start is chosen.
MAX_TRIAL_SCORES = 4_000_000
MAX_TRIAL_ITERATIONS = 12

# --- KMeans for a palette (palette_kmeans) ---

# All iterations at one level, and their number.
MAX_PALETTE_LEVEL_SCORES = 200_000_000
MAX_PALETTE_LEVEL_ITERATIONS = 200

# Random starts together.
MAX_PALETTE_SEEDING_SCORES = 500_000

# Rounds in which centers are moved, the iterations after each, and the part of the error that an iteration must take
# off to be followed by another.
MAX_PALETTE_SHIFTS = 20
MAX_PALETTE_TRIAL_ITERATIONS = 20
PALETTE_TRIAL_TOL = 1e-3
