"""Limits on the work of a fit, unless the caller sets `max_iter`. Chosen on thirteen photographs (docs/benchmarks.md).

Work is counted in scores: a score is that of one component for one cell, and costs about 4 ns.
"""

# The levels of a mixture (coarse_to_fine)
MIN_CELLS_PER_COMPONENT = 8  # at the level where a fit starts
MAX_STARTING_SWEEP_SCORES = 256_000_000  # one sweep over the level where a fit starts
MAX_LEVEL_SCORES = 128_000_000  # all sweeps of EM at one level
MAX_FINER_CELLS = 400_000  # of any other level: two sweeps over 940,000 took 95 ms and gained 0.00006 nats
MAX_ITERATIONS = 500  # of EM at all levels together

# The starts of a mixture (coarse_to_fine). With thousands of components seeding takes a minute: one start is tried.
MAX_SEEDING_SCORES = 8_000_000  # of all starts together
MAX_START_KMEANS_SCORES = 64_000_000  # KMeans of one start
START_KMEANS_TOL = 1e-3
MAX_TRIAL_SCORES = 4_000_000  # EM of one start, before the best start is chosen
MAX_TRIAL_ITERATIONS = 12
MAX_TIED_TRIAL_ITERATIONS = 6  # on thirteen photographs, 12 gained 0.004 nats and took 3 to 60 % longer

# The search by splits and merges (coarse_to_fine), at the two finest levels within the first two limits
MAX_SEARCHED_CELLS = 60_000
MAX_SEARCHED_SCORES = 1_200_000  # one sweep
MAX_SEARCH_SCORES = 6_000_000  # all sweeps at one level, from one start

# KMeans for a palette (palette_kmeans)
MAX_PALETTE_LEVEL_SCORES = 200_000_000  # all iterations at one level
MAX_PALETTE_LEVEL_ITERATIONS = 200
MAX_PALETTE_SEEDING_SCORES = 500_000  # random starts together
MAX_PALETTE_SHIFTS = 20  # rounds in which centers are moved
MAX_PALETTE_TRIAL_ITERATIONS = 20  # after each round
PALETTE_TRIAL_TOL = 1e-3  # the fraction of the error that an iteration must remove to be followed by another
