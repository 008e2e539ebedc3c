"""Waiting for a condition, with a bound that only a failure ever reaches."""

import time


def wait_for(condition, bound=60, what=None, every=0.05):
    """Polls until condition() is true and returns its value; fails after `bound` seconds.

    `what` names the condition in the failure; a callable is asked at that moment (for the state as it is)."""
    end = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            told = what() if callable(what) else what
            raise AssertionError(f"not so after {bound} s: {told or condition.__name__}")
        time.sleep(every)
