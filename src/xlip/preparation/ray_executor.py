"""Parts of a preparation on the machines of a Ray cluster, over the same ledger as those of local processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from xlip.errors import XLIPError
from xlip.preparation.part import InterruptedRunError, Settings, run_unit
from xlip.preparation.plan import Unit

AHEAD = 2
"""Parts that wait at the cluster for each one that can run: the rows of no more are in memory at once."""
RETRIES = 3
"""How often a part is made again whose process or machine was lost."""


def run_units(units: Iterator[Unit], settings: Settings, workers: int, progress: Callable[[int], None]) -> None:
    """Run every unit as a task of Ray; each writes its part and its record where the driver finds them.

    A part whose worker is lost is made again, elsewhere: it is a function of its rows alone. A row that kills its
    process every time therefore stops the run here; local processes would send it to quarantine.

    Args:
        units: what is to be made.
        settings: of the run; the folder to write must be one that every machine sees.
        workers: parts at the same time; 0 = as many as the cluster has processors.
        progress: gets the number of rows of every finished part.

    Raises:
        InterruptedRunError: a fault that stops the run; finished parts stay finished.
        XLIPError: Ray is not installed.
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(num_cpus=workers or None, include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_made)
    most = AHEAD * (workers or int(ray.cluster_resources().get("CPU", 1)))
    running: dict[Any, Unit] = {}
    waiting = True
    while waiting or running:
        while waiting and len(running) < most:
            unit = next(units, None)
            waiting = unit is not None
            if unit is not None:
                running[task.remote(unit, settings)] = unit
        for done in ray.wait(list(running), num_returns=1)[0] if running else ():
            unit = running.pop(done)
            try:
                fault = ray.get(done)
            except ray.exceptions.RayError as error:
                raise InterruptedRunError(
                    f"{unit.name}: its worker was lost {RETRIES + 1} times ({type(error).__name__}); is memory short, "
                    "or does a row kill its process? Local processes (--executor processes) find that row"
                ) from error
            if fault is not None:
                raise fault
            progress(len(unit.rows))


def _made(unit: Unit, settings: Settings) -> XLIPError | None:
    """In a worker: make the part; a fault comes back as a value, so that Ray does not try it again."""
    # spaCy, which the tagger stands on, imports torch where it is installed: 180 MB and two seconds for nothing.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    try:
        run_unit(unit, settings, {}, lambda number: None)
    except XLIPError as error:
        return error
    return None


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise XLIPError("executor: ray is not installed; run `pip install 'xlip[ray]'`") from error
