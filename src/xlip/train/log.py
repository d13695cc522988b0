"""What a run says: a progress bar, JSON lines and TensorBoard events."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xlip.files import write_whole


class RunLog:
    """Writes `run.json`, `log.jsonl` and TensorBoard events into a run's folder; does nothing where not enabled."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, enabled: bool, steps: int, start: int) -> None:
        self.folder, self.config, self.enabled, self.steps, self.start = folder, config, enabled, steps, start
        self.curve: list[dict[str, float]] = []

    def __enter__(self) -> Self:
        if self.enabled:
            self._open()
        return self

    def _open(self) -> None:
        import torch
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from torch.utils.tensorboard import SummaryWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        machine = {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}
        text = json.dumps({"config": self.config, "machine": machine}, indent=2, default=str)
        write_whole(self.folder / "run.json", f"{text}\n".encode())
        self._lines = (self.folder / "log.jsonl").open("a" if self.start else "w", encoding="utf-8")
        self._events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.start)
        console = Console(stderr=True)
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[terms]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, refresh_per_second=2)
        self._bar.start()
        self._task = self._bar.add_task("steps", total=self.steps, completed=self.start, terms="")

    def step(self, step: int, values: Mapping[str, float], *, every: int) -> None:
        """Log a step; written out at every `every`-th and at the last."""
        if not self.enabled:
            return
        self._bar.update(self._task, completed=step + 1, terms=_summary(values))
        if step % every == 0 or step == self.steps - 1:
            self.curve.append({"step": step, **values})
            self._lines.write(json.dumps({"step": step, **values}) + "\n")
            self._lines.flush()
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.enabled:
            self._bar.stop()
            self._lines.close()
            self._events.close()


def _summary(values: Mapping[str, float]) -> str:
    hidden = ("total", "gradient_norm", "lr", "images_per_s", "share_of_matmul_rate")
    terms = " ".join(f"{name} {value:.3f}" for name, value in values.items() if name not in hidden and "/" not in name)
    rate = f"{values['images_per_s']:.0f} img/s ({values['share_of_matmul_rate']:.0%} of matmul)"
    return f"loss {values['total']:.3f} = {terms} | {rate}"
