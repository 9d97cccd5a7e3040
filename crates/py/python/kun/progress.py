"""Progress: a bar of tqdm where that is installed, which knows notebooks; else a line on a terminal."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Progress"]


class Progress:
    """Shows how much of something is done. `wanted` None shows it to those who sit at a terminal or in a notebook."""

    def __init__(self, what: str, total: float, wanted: bool | None, unit: str = "it") -> None:
        self._what, self._total, self._done = what, total, 0
        self._bar: Any = None
        self._shown = _somebody_looks() if wanted is None else wanted
        if not self._shown:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, desc=what, unit=unit, unit_scale=unit != "it")

    def set(self, done: float) -> None:
        """So much is done."""
        step, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.update(step)
        elif self._shown:
            print(f"\r{self._what}: {done:.0f}/{self._total:.0f}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Takes the bar away, or ends its line."""
        if self._bar is not None:
            self._bar.close()
        elif self._shown and self._done:
            print(file=sys.stderr)


def _somebody_looks() -> bool:
    # IPython's kernel shows bars though its standard error is no terminal.
    return "ipykernel" in sys.modules or bool(getattr(sys.stderr, "isatty", bool)())
