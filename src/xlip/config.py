"""One frozen dataclass per command: what the command line and a YAML file may set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xlip.data.streams import Streams
from xlip.data.transforms import Augment
from xlip.finetune.recipe import Recipe
from xlip.train.optim import OptimConfig

OBJECTIVE_DEFAULTS: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "attmim": {},
    "entmlm": {},
    "image_kind": {},
    "kind_contrast": {},
    "report_kind": {},
}


@dataclass(frozen=True)
class ModelConfig:
    """The towers: a size of our own, or a checkpoint to start from."""

    image_size: int = 224
    patch_size: int = 16
    width: int = 384
    depth: int = 12
    heads: int = 6
    text_width: int = 384
    text_depth: int = 6
    text_heads: int = 6
    embed_dim: int = 256
    stem: str = "patch"
    """patch: one large projection; conv: 3x3 convolutions, better from scratch on few images."""
    pool: str = "max"
    """How patch tokens become one vector: max (findings are small), mean or cls."""
    text_pool: str = "mean"
    dropout: float = 0.0
    """Dropout inside both towers."""
    decoder_width: int = 192
    decoder_layers: int = 2
    decoder_heads: int = 3
    vocab_size: int = 8192
    max_tokens: int = 128
    preprocess: str = "letterbox"
    image_checkpoint: str = ""
    """Local folder or hub id of a ViT or DINOv2, or the folder of an XLIP run with the same stem: its sizes replace the
    ones above."""
    text_checkpoint: str = ""
    """Local folder or hub id of a BERT with its tokenizer."""


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


@dataclass(frozen=True)
class PretrainConfig:
    """`xlip pretrain`."""

    out: str
    """Folder of the run: model, logs, resolved config, checkpoint."""
    data: Streams = field(default_factory=Streams)
    model: ModelConfig = field(default_factory=ModelConfig)
    objectives: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(OBJECTIVE_DEFAULTS))
    """Name -> options; see `xlip.objectives.registry`."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: Augment | None = field(default_factory=Augment)
    prompts: str = "xlip"
    steps: int = 10_000
    seed: int = 0
    precision: str = "auto"
    """auto: bf16 where the machine has fast bf16; or bf16, fp32."""
    log_every: int = 10
    gradient_norms_every: int = 0
    """Steps between logs of every term's own gradient norm; 0 = never."""
    checkpoint_every: int = 1000
    resume: bool = False
    """Go on from the run's last checkpoint."""
    workers: int = 1
    """Processes that build batches ahead; 0 = in the training process."""
    evaluate: DuringTraining = field(default_factory=DuringTraining)


@dataclass(frozen=True)
class PrepareConfig:
    """`xlip prepare`."""

    source: str
    """Name of the data set's layout."""
    out: str
    """Folder or fsspec URL to write."""
    root: str = "."
    """Folder or fsspec URL of the raw set; for `csv`, the file."""
    short_side: int = 256
    """Larger images are reduced until their shorter side has this many pixels."""
    holdout: float = 0.0
    """Share of the patients that become the split `test`."""
    validation: float = 0.0
    """Share of the patients, others than these, that become the split `val`."""
    seed: int = 0
    """Of both."""
    workers: int = 2
    """Processes that make parts; 0 = in this process."""
    encoding: str = "jpeg"
    """jpeg (quality 95) or png, for images that cannot be kept byte for byte."""
    sections: str = "findings,impression"
    """Report sections: commas join, bars choose the first that is there (`impression|findings`)."""
    split: str = ""
    """Name of a split (`nih/official`, `rsna/gloria` ...) that replaces the source's own."""
    lists: str = ""
    """Folder with your copies of the official lists; default: root."""
    shard: str = ""
    """i/n: make only the i-th n-th of the parts (i from 0), to divide a set over n machines."""
    options: dict[str, Any] = field(default_factory=dict)
    """The source's own: `--options.image_column path`, say."""


@dataclass(frozen=True)
class AuditConfig:
    """`xlip audit`."""

    train: list[str]
    """Prepared training sets: PATH (its split train, where it has one) or PATH:SPLIT."""
    against: list[str] = field(default_factory=list)
    """Prepared test sets: PATH (its split test, where it has one) or PATH:SPLIT."""
    write_exclusions: str = ""
    """CSV file to write: the training studies that leak, for `data.exclusions` of `xlip pretrain`."""
    exclusions: str = ""
    """A list written earlier: its studies are taken as left out."""
    out: str = ""
    """JSON file for everything that was found."""
    workers: int = 2
    """Processes that hash images; 0 = in this process."""
    checks: bool = True
    """Also look for shortcuts, missing sections and label conflicts."""


@dataclass(frozen=True)
class InspectConfig:
    """`xlip inspect`."""

    path: str
    """Prepared folder or Parquet file."""
    study: str = ""
    """Study id, or the end of one; default: an overview and a sample."""
    out: str = ""
    """HTML file: a contact sheet with images, coloured reports and labels."""
    limit: int = 24
    """Studies of the sample."""
    width: int = 64
    """Columns of an image in the terminal."""


@dataclass(frozen=True)
class TagConfig:
    """`xlip tag`."""

    source: str
    """A .txt, .jsonl, .csv or .parquet file, a folder of these, or - for standard input, one report a line."""
    out: str = ""
    """A .jsonl or .parquet file; without it, JSON lines to standard output."""
    tagger: str = "rules"
    """rules, hf:PATH_OR_HUB_ID (a token-classification model), radgraph or radgraph:MODEL."""
    language: str = "en"
    """Of the rules: en, es."""
    column: str = ""
    """Of a table: the column with the reports; default: report, else text."""
    workers: int = 0
    """Processes; 0 = this one."""
    explain: bool = False
    """Print each report in colour, with the rule behind each entity, instead of writing records."""


@dataclass(frozen=True)
class ZeroShotConfig:
    """`xlip zeroshot`."""

    model: str
    """Folder of a run or a saved model, or a hub id."""
    data: str
    """Prepared Parquet (folder or file), or a CSV file."""
    out: str
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    patient_column: str = ""
    """CSV: column of patient ids, which the intervals resample; without it every row is a patient."""
    kinds: str = ""
    """Kinds to score, separated by commas; default: all that the data label."""
    split: str = ""
    """Parquet: only this split; default: `test` where there is one, else everything."""
    prompts: str = "xlip"
    """A shipped prompt set, a YAML file, several of them separated by commas, or all: the first makes the headline,
    more than one show how much the choice matters."""
    query: str = ""
    """Free text instead of prompts: scores how well each image fits it; labels are only needed with --kinds."""
    neutral: str = "a chest radiograph."
    """What a query is weighed against."""
    batch_size: int = 64
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    no_cache: bool = False
    """Neither read nor keep image embeddings (in $XLIP_CACHE, default ~/.cache/xlip)."""


@dataclass(frozen=True)
class DemoConfig:
    """`xlip demo`."""

    out: str = "demo"
    pairs: int = 60
    """Phantoms with their report."""
    images: int = 5000
    """Lone labelled phantoms."""
    texts: int = 2000
    """Lone reports."""
    test: int = 600
    """Held-out phantoms."""
    steps: int = 500
    seed: int = 0


@dataclass(frozen=True)
class ReportConfig:
    """`xlip report`."""

    evaluation: str
    """Folder of an evaluation: metrics.json, scores.csv."""
    out: str
    """Folder for report.html, per_kind.csv and the model card README.md."""
    model: str = ""
    """Folder of the run or model that was evaluated: adds cases with heat-maps and, to the card, the training."""
    data: str = ""
    """Prepared Parquet or CSV that was evaluated; with `model`."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    prompts: str = ""
    """Prompt set that the heat-maps answer to: a shipped one or a YAML file; default: the evaluation's."""


@dataclass(frozen=True)
class EvaluateConfig:
    """`xlip evaluate`."""

    suite: str
    """A suite that comes with the package (`phantom`, `real_mini`, `nih` ...) or a YAML file."""
    out: str
    """Folder: one folder per entry, and the summary."""
    model: list[str] = field(default_factory=list)
    """Folders of runs or saved models, or hub ids; hf:NAME_OR_PATH for any CLIP- or SigLIP-style checkpoint."""
    root: str = ""
    """Folder with the prepared sets of the suite, each under its name."""
    data: list[str] = field(default_factory=list)
    """NAME=PATH: where a set of the suite is, if not under the root."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    no_cache: bool = False
    """Neither read nor keep image embeddings (in $XLIP_CACHE, default ~/.cache/xlip)."""


@dataclass(frozen=True)
class CompareConfig:
    """`xlip compare`."""

    folders: list[str]
    """Two folders that an evaluation wrote: A, then B."""
    out: str = ""
    """Folder for comparison.json; default: print alone."""
    replicates: int = 1000
    """Bootstrap replicates over patients."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True)
class FinetuneConfig:
    """`xlip finetune`."""

    model: str
    """Folder of a run or a saved model, or a hub id; from scratch only its architecture counts."""
    data: str
    """Prepared Parquet (folder or file) or a CSV file, with labels and the splits train and test; val if it has one."""
    out: str
    """Folder: finished cells, the best model, metrics.json, scores.csv. The same command goes on where it stopped."""
    recipe: Recipe = field(default_factory=Recipe)
    augment: Augment | None = field(default_factory=Augment)
    fractions: str = "1"
    """Shares of the training images to label, by patient: `0.01,0.1,1`."""
    seeds: str = "0"
    """`0,1,2`: each draws its own share, order and augmentation."""
    folds: int = 0
    """Cross-validate over the patients of train and val with so many folds; 0: measure on the split test."""
    validation: float = 0.15
    """Share of the training patients that becomes the validation part where the data have none; 0: none."""
    kinds: str = ""
    """Kinds to learn, separated by commas; default: all that the data label."""
    prompts: str = "xlip"
    """Of the zero-shot head: a shipped prompt set or a YAML file."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    patient_column: str = ""
    """CSV: column of patient ids; without it every row is a patient, and parts may leak."""
    split_column: str = ""
    """CSV: column that says train, val or test."""
    baseline: str = ""
    """Folder of another `xlip finetune` of the same data: the table says how far this one is above it."""
    precision: str = "auto"
    replicates: int = 1000
    """Bootstrap replicates over patients."""


@dataclass(frozen=True)
class PredictConfig:
    """`xlip predict`."""

    model: str
    """Folder that `xlip finetune` wrote."""
    data: str
    """A prepared set, a CSV file, a folder of images, or one image."""
    out: str
    """CSV file to write."""
    image_column: str = "path"
    """CSV: column of image paths, relative to the file."""
    batch_size: int = 64
