"""Terms that are nothing at every step: an objective that no batch can teach, which a falling total would hide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENCE = 20
"""Steps that a term may be nothing for: a stream of few labels has steps without any."""


@dataclass
class Idle:
    """Watches the first steps of a run."""

    needs: Mapping[str, str]
    """Objective -> what it learns from."""
    steps: int = 0
    alive: set[str] = field(default_factory=set)

    def lines(self, values: Mapping[str, float], *, last: bool) -> list[str]:
        """One line for every objective whose term was exactly 0 in all steps so far.

        They are given once: after `PATIENCE` steps, or at the run's last where it is shorter.

        Args:
            values: terms of a step, by name.
            last: whether it is the run's last.
        """
        self.alive |= {name for name in self.needs if values.get(name, 0.0) != 0.0}
        self.steps += 1
        if self.steps != PATIENCE and not (last and self.steps < PATIENCE):
            return []
        return [
            f"warning: objectives.{name} was 0 in all of the first {self.steps} steps: it learns nothing from this "
            f"data; it needs {needs}"
            for name, needs in self.needs.items()
            if name not in self.alive
        ]
