"""The options of `xlip pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from xlip.batches.augmentation import Augment
from xlip.batches.streams import Streams
from xlip.objectives.registry import OBJECTIVE_DEFAULTS
from xlip.train.build import ModelConfig
from xlip.train.optim import OptimConfig


@dataclass(frozen=True)
class DuringTraining:
    """Zero-shot evaluation while a model trains; its figures stand in the logs as `eval/...`."""

    every: int = 0
    """Steps between evaluations; the last step is evaluated too. 0 = never."""
    data: str = ""
    """Prepared Parquet (folder or file), or a CSV file."""
    split: str = ""
    """Parquet: default `val`. A test split here is no longer one for the runs that are chosen by it."""
    kinds: str = ""
    """Kinds to score, separated by commas; default: all that the data label."""
    ema: bool = False
    """Whether the running mean of the weights (`optim.ema`) is evaluated instead of the weights."""


@dataclass(frozen=True)
class PretrainConfig:
    """`xlip pretrain`."""

    out: str
    """Folder of the run: model, logs, resolved config, checkpoints."""
    data: Streams = field(default_factory=Streams)
    """The prepared sets of each stream, and how much of each a step has."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the towers and decoders, or checkpoints to start from."""
    objectives: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(OBJECTIVE_DEFAULTS))
    """Name -> options; see `xlip.objectives.registry`."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """The optimiser."""
    augment: Augment | None = field(default_factory=Augment)
    """How images are changed at every step; null: not at all."""
    augment_on: Literal["auto", "workers", "device"] = "auto"
    """Where images are augmented: by the workers, in fp32; or on the device, to which bytes go then. auto: on an
    accelerator where there is one. Noise is drawn in another way there: both are equal in distribution alone."""
    prompts: str = "xlip"
    """The prompt set of the training: its name, or a YAML file."""
    steps: int = 10_000
    """Training steps."""
    seed: int = 0
    """Seed of weights, draws and augmentation."""
    precision: str = "auto"
    """auto: the format that is measured to be faster on this machine, bf16 or fp32; or bf16, fp32, or fp16
    (accelerators only, with loss scaling)."""
    shard: bool = False
    """Whether weights, gradients and the optimiser's state are split over the processes (FSDP2), for models that do not
    fit on each of them."""
    parts: int = 1
    """In how many parts each process makes its share of a step: memory for a few rows, with the loss and the gradient
    of all of them, at the price of one more forward pass."""
    recompute: bool = False
    """Whether the towers' activations are computed again in the backward pass instead of kept: a third more time, a
    fraction of the memory."""
    log_every: int = 10
    """Steps between lines of the log."""
    gradient_norms_every: int = 0
    """Steps between logs of every term's own gradient norm, and its cosine with the contrastive term's; 0 = never."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; 0 = only where a signal stops the run."""
    keep: int = 2
    """Newest checkpoints that are kept; the one with the best figure of `evaluate` stays beside them."""
    dry_run: bool = False
    """Say what the run would do (data, leaks, kinds, sizes, memory, hours), and do nothing."""
    resume: bool | Literal["auto"] = False
    """true: go on from the run's last checkpoint; auto: that, or start where there is none."""
    workers: int = 1
    """Processes that build batches ahead; 0 = in the training process."""
    worker_timeout: int = 600
    """Seconds to wait for a batch before the run stops; storage may be gone."""
    peer_timeout: int = 1800
    """Seconds to wait for the other processes of the run before it stops."""
    trackers: list[str] = field(default_factory=list)
    """Further places for the log, by accelerate's names (wandb, mlflow, ...); each must be installed."""
    evaluate: DuringTraining = field(default_factory=DuringTraining)
    """What is evaluated while training goes on."""
