"""Ctrl-C, SIGTERM and SIGHUP (a lost connection) as a wish instead of an end: what is under way is finished and saved first.

Not about: what is saved (trainer.py).
"""

from __future__ import annotations

import signal
import threading

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows: no SIGHUP


def leave_to_the_parent(_worker: int = 0) -> None:
    """For a reader process: a signal to the whole group must not end it, or the step under way fails for want of pictures."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


class StopRequest:
    """True once one of STOPS came: the step under way is finished and saved first. Old handling returns at the end."""

    def __enter__(self) -> StopRequest:
        self.came, self.before = False, {}
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handler
            for number in STOPS:
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, *_) -> None:
        self.came = True

    def __bool__(self) -> bool:
        return self.came
