"""Terms that are nothing at every step: an objective that no batch can teach, which a falling total would hide."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

PATIENCE = 20
"""Steps that a term may be nothing for: a stream of few labels has steps without any."""
NEEDS = {
    "contrastive": "at least two pairs a step (data.mix.pairs)",
    "description_contrast": "at least two labelled lone images a step (data.mix.images)",
    "image_kind": "images with labels, or pairs whose reports name kinds",
    "local_kind": "images with labels, or pairs whose reports name kinds",
    "kind_contrast": "images with labels, or pairs whose reports name kinds",
    "report_kind": "reports that name kinds",
    "attmim": "images",
    "entmlm": "reports with medical entities, or labelled lone images",
    "denial_contrast": "images whose labels say that a kind is absent",
    "view_contrast": "at least two lone images a step (data.mix.images)",
    "image_attributes": "images whose headers tell view, sex or age",
}
"""What an objective learns from."""


@dataclass
class Idle:
    """Watches the first steps of a run."""

    names: Collection[str]
    """Of the objectives."""
    steps: int = 0
    alive: set[str] = field(default_factory=set)

    def lines(self, values: Mapping[str, float], *, last: bool) -> list[str]:
        """One line for every objective whose term was exactly 0 in all steps so far.

        They are given once: after `PATIENCE` steps, or at the run's last where it is shorter.

        Args:
            values: terms of a step, by name.
            last: whether it is the run's last.
        """
        self.alive |= {name for name in self.names if values.get(name, 0.0) != 0.0}
        self.steps += 1
        if self.steps != PATIENCE and not (last and self.steps < PATIENCE):
            return []
        return [
            f"warning: objectives.{name} was 0 in all of the first {self.steps} steps: it learns nothing from this "
            f"data; it needs {NEEDS.get(name, 'other data')}"
            for name in self.names
            if name not in self.alive
        ]
