"""Who does work on many items: this process, processes of its own, a cluster of computers."""
