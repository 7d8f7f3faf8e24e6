"""The operating system: paths and file systems, atomic writes, processes, threads and executors."""
