"""Executors: work on many items in this process, in several processes, or in a cluster of computers."""
