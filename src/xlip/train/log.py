"""What a run says: a progress bar or plain lines, JSON lines, TensorBoard events, and trackers by option."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xlip.errors import XLIPError
from xlip.files import write_whole, writing

CONFIG_NAME = "config.yaml"
PLAIN_SECONDS = 30.0
"""Without a terminal, a line of text this often."""


class _Unfailing:
    """Standard error, and nothing once nobody reads it (`2>&1 | head`, a closed terminal): no reason to stop a run."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


class RunLog:
    """Writes `run.json`, `config.yaml`, `log.jsonl` and TensorBoard events into a run's folder; does nothing where not
    enabled.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        facts: Mapping[str, Any],
        enabled: bool,
        steps: int,
        rows: Sequence[Mapping[str, float]] = (),
        start: int = 0,
        trackers: Any = None,
    ) -> None:
        """`rows`: what the log says up to step `start`; `trackers`: an `Accelerator` that has some."""
        self.folder, self.config, self.facts, self.enabled = folder, config, facts, enabled
        self.steps, self.start, self.trackers = steps, start, trackers
        self.curve: list[dict[str, float]] = [dict(row) for row in rows]
        self._said = -PLAIN_SECONDS
        self._lost = False

    def __enter__(self) -> Self:
        if self.trackers:
            try:
                self.trackers.init_trackers("xlip")
            except Exception as error:  # each tracker has faults of its own
                raise XLIPError(f"trackers: cannot start ({_reason(error)}); log in to it, or leave it out") from error
        if self.enabled:
            with writing(self.folder):
                self._open()
        return self

    def _open(self) -> None:
        import torch
        import yaml
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from torch.utils.tensorboard import SummaryWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        machine = {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}
        text = json.dumps({"config": {**self.config, **self.facts}, "machine": machine}, indent=2, default=str)
        write_whole(self.folder / "run.json", (text + "\n").encode())
        given = {name: value for name, value in self.config.items() if name != "resume"}
        write_whole(self.folder / CONFIG_NAME, yaml.safe_dump(given, sort_keys=False, allow_unicode=True).encode())
        # Rows after the checkpoint are of steps that will be repeated.
        write_whole(self.folder / "log.jsonl", "".join(json.dumps(row) + "\n" for row in self.curve).encode())
        self._lines = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.start)
        self._console = Console(file=_Unfailing())  # type: ignore[arg-type]
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[terms]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, refresh_per_second=2)
        if self._console.is_terminal:
            self._bar.start()
        self._task = self._bar.add_task("steps", total=self.steps, completed=self.start, terms="")

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        if self.enabled:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def step(self, step: int, values: Mapping[str, float], *, every: int) -> None:
        """Log a step; written out at every `every`-th and at the last."""
        if not self.enabled:
            return
        self._bar.update(self._task, completed=step + 1, terms=_summary(values))
        last = step == self.steps - 1
        if not self._console.is_terminal and (last or time.monotonic() - self._said >= PLAIN_SECONDS):
            self._said = time.monotonic()
            self.say(f"step {step + 1} of {self.steps}: {_summary(values)}")
        if step % every == 0 or last:
            row = {"step": step, **values}
            self.curve.append(row)
            with writing(self.folder / "log.jsonl"):
                self._lines.write(json.dumps(row) + "\n")
                self._lines.flush()
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
            self._track(values, step)

    def _track(self, values: Mapping[str, float], step: int) -> None:
        if not self.trackers or self._lost:
            return
        try:
            self.trackers.log(dict(values), step=step)
        except Exception as error:  # a network that is gone for a while must not end a run of days
            self._lost = True
            self.say(f"trackers: cannot be reached ({_reason(error)}); the run goes on without them")

    def spike(self, step: int, total: float, expected: float, studies: Sequence[str]) -> None:
        """A loss far above those before: which studies were in the step."""
        if self.enabled:
            row = {"step": step, "total": total, "expected": expected, "studies": list(studies)}
            with (
                writing(self.folder / "spikes.jsonl"),
                (self.folder / "spikes.jsonl").open("a", encoding="utf-8") as lines,
            ):
                lines.write(json.dumps(row) + "\n")
            self.say(f"step {step}: loss {total:.3f} where {expected:.3f} was expected; its studies: spikes.jsonl")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.enabled:
            if self._console.is_terminal:
                self._bar.stop()
            self._lines.close()
            self._events.close()
        # Not `end_training`, which would also take away the connection between the processes.
        for tracker in self.trackers.trackers if self.trackers else ():
            try:
                tracker.finish()
            except Exception as error:
                self.say(f"trackers: not finished ({_reason(error)})")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _summary(values: Mapping[str, float]) -> str:
    hidden = ("total", "gradient_norm", "lr", "images_per_s", "share_of_matmul_rate", "data_wait_share")
    terms = " ".join(f"{name} {value:.3f}" for name, value in values.items() if name not in hidden and "/" not in name)
    rate = f"{values['images_per_s']:.0f} img/s ({values['share_of_matmul_rate']:.0%} of matmul)"
    if "data_wait_share" in values:
        rate += f", waits for data {values['data_wait_share']:.0%}"
    return f"loss {values['total']:.3f} = {terms} | {rate}"
