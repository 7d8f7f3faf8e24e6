"""Waiting for what other processes do, with one limit that only guards against hanging."""

import time

# No test takes as long, however busy the machine is.
GUARD_SECONDS = 300


def wait_for(condition):
    """Wait until `condition()` is true."""
    end = time.monotonic() + GUARD_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not true within {GUARD_SECONDS} s")
        time.sleep(0.005)
