"""How a classifier is trained: the choices of one fine-tuning, without its data."""

from __future__ import annotations

from dataclasses import dataclass

from xlip.errors import XLIPError
from xlip.study.labels import UncertainPolicy

MODES = ("full", "probe", "lora")
INITS = ("model", "scratch")
HEADS = ("prompts", "random")
LOSSES = ("bce", "weighted", "focal", "asymmetric")
LARGEST_RATE = 1e-3
SHALLOW, DEEP_KEEP = 6, 0.7
"""Blocks up to which training sees every patch, and the share that it sees in deeper towers."""


@dataclass(frozen=True)
class Recipe:
    """Defaults that need no tuning on small sets; `docs/howto/finetune.md` says where each comes from."""

    mode: str = "full"
    """full: every weight of the image tower and head; probe: the head alone, on embeddings made once; lora: low-rank
    adapters in the attention and the head (needs the extra `lora`)."""
    init: str = "model"
    """model: start from the pre-trained tower; scratch: the same architecture with random weights, the supervised
    baseline."""
    head: str = "prompts"
    """prompts: the classifier starts as the zero-shot one, and training from its scores; random: from nothing.
    A tower from scratch always takes a random head."""
    epochs: int = 20
    """Passes over the training images, within the two bounds that follow."""
    least_steps: int = 100
    """Updates that even a handful of images gets."""
    most_steps: int = 2000
    """Updates that training ends after, however many images there are."""
    batch_size: int = 32
    """Images of a step."""
    lr: float = 0.0
    """Largest learning rate; 0: 1e-3 from scratch, for a probe, and for towers up to 128 wide; 0.128 / width for wider
    ones, whose updates add up over more inputs (Yang et al. 2022, arXiv:2203.03466)."""
    layer_decay: float = 1.0
    """Factor on the learning rate for each block further from the head; 1: the same everywhere. Deep towers with good
    features want less (0.65 to 0.75 for 12 blocks). Not used from scratch: every layer has everything to learn."""
    weight_decay: float = 0.05
    """Decoupled pull of the matrices towards where they started (towards 0 from scratch)."""
    warmup_share: float = 0.1
    """Share of the steps with a rising learning rate."""
    clip: float = 1.0
    """Largest gradient norm."""
    loss: str = "bce"
    """bce; weighted: positives weigh as much as negatives; focal; asymmetric."""
    balanced: bool = False
    """Draw images so that rare kinds come as often as frequent ones."""
    uncertain: str = "ignore"
    """What an uncertain training label counts as: ignore, present, absent, chexpert (its published choice), or kinds
    apart: `Edema=present,Cardiomegaly=absent,*=ignore`."""
    checks: int = 10
    """How often the validation part is scored."""
    patience: int = 5
    """Checks without a better validation AUROC after which training stops; 0: never."""
    interpolate: bool = True
    """After training, take the point between start and end that scores best on the validation part; only where the
    start is a classifier already (init model, head prompts)."""
    patch_keep: float = 0.0
    """Share of the patches that a training step sees, drawn anew for every image (PatchDropout, Liu et al. 2022,
    arXiv:2208.07220); scoring sees all. 0: 0.7 in towers of more than 6 blocks, where a step costs so much less, and
    all of them in shallower ones."""
    lora_rank: int = 8
    """Rank of the adapters with `mode: lora`."""
    lora_alpha: int = 16
    """The adapters are multiplied by `lora_alpha / lora_rank`."""

    def __post_init__(self) -> None:
        for name, known in (("mode", MODES), ("init", INITS), ("head", HEADS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise XLIPError(f"recipe.{name}: expected one of {', '.join(known)}; got {getattr(self, name)!r}")
        for name in ("epochs", "least_steps", "most_steps", "batch_size", "checks", "lora_rank", "lora_alpha"):
            if getattr(self, name) < 1:
                raise XLIPError(f"recipe.{name}: expected at least 1, got {getattr(self, name)}")
        UncertainPolicy.parse(self.uncertain, "recipe.uncertain")
        if not 0 < self.layer_decay <= 1:
            raise XLIPError(f"recipe.layer_decay: expected above 0 and at most 1, got {self.layer_decay}")
        if not 0 <= self.patch_keep <= 1:
            raise XLIPError(f"recipe.patch_keep: expected 0 = by depth, or a share up to 1; got {self.patch_keep}")
        if self.init == "scratch" and self.mode != "full":
            raise XLIPError(f"recipe: from scratch every weight has to be trained; mode {self.mode} cannot (take full)")

    @property
    def from_zero_shot(self) -> bool:
        """Whether the classifier that training starts from is the zero-shot one."""
        return self.init == "model" and self.head == "prompts"

    def rate(self, width: int) -> float:
        """The largest learning rate for a tower of this width."""
        kept = self.init == "scratch" or self.mode == "probe"
        return self.lr or (LARGEST_RATE if kept else min(LARGEST_RATE, LARGEST_RATE * 128 / width))

    def patches(self, depth: int) -> float:
        """The share of the patches that a step of a tower with so many blocks sees."""
        return self.patch_keep or (DEEP_KEEP if depth > SHALLOW else 1.0)

    def updates(self, images: int) -> int:
        """Number of steps for so many training images."""
        wanted = round(self.epochs * images / min(self.batch_size, images))
        return min(max(wanted, self.least_steps), self.most_steps)
