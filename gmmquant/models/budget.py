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
MAX_SEEDING_SCORES = 2_000_000  # of all starts together: at K = 256 one start ended as high as four, on average
MAX_START_KMEANS_SCORES = 64_000_000  # KMeans of one start
START_KMEANS_TOL = 1e-3
MAX_TRIAL_SCORES = 4_000_000  # EM of one start, before the best start is chosen
MAX_TRIAL_ITERATIONS = 12
MAX_TIED_TRIAL_ITERATIONS = 6  # on thirteen photographs, 12 gained 0.004 nats and took 3 to 60 % longer

# The search by splits and merges (coarse_to_fine), at the two finest levels within the first three limits
MIN_SEARCHED_CELLS_PER_COMPONENT = 64  # at the coarser level; with 8, fits of 32 and 64 components ended lower
MAX_SEARCHED_CELLS = 60_000
MAX_SEARCHED_SCORES = 1_200_000  # one sweep
MAX_SEARCH_SCORES = 12_000_000  # all sweeps at one level, from one start
MAX_SECOND_SEARCH_SCORES = 2_000_000  # the same from the second start

# KMeans for a palette (palette_kmeans, palette_trials)
MAX_PALETTE_LEVEL_SCORES = 200_000_000  # all iterations at one level
MAX_PALETTE_LEVEL_ITERATIONS = 200
MAX_PALETTE_START_SCORES = 50_000  # of one sweep over the level where starts are compared; above it fewer are tried
PALETTE_SEARCH_LEVELS = 2  # at which centers are moved, the coarsest ones
MAX_PALETTE_TRIALS = 10  # of the search at such a level; 40 took up to 1.6 times as long for 0.1 to 0.2 % less error
MAX_PALETTE_SEARCH_SCORES = 24_000_000  # of one sweep for each of these trials
MAX_PALETTE_TRIAL_ITERATIONS = 2

# The same for many clusters (palette_moves), where moves are judged one by one
MANY_CLUSTERS = 64
PALETTE_CELLS_PER_CENTER = 20, 48, 160  # at the levels before the finest: of the start, of the search, and a finer one
MIN_PALETTE_CENTERS = 256  # for which there are cells; with fewer cells, fits of 64 ended up to 0.7 % higher
MAX_MERGED_CLUSTERS = 1536  # whose pairs are 19 MB of costs
MAX_PALETTE_MOVE_SCORES = 80_000_000  # all sweeps of the search
MAX_PALETTE_ROUNDS = 8
MAX_LONG_STEP_SCORES = 80_000_000  # all iterations at one level
