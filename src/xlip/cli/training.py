"""The commands that train or use a classifier: demo, pretrain, finetune, predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xlip.cli.show import print_dropped, print_left_out, print_sanity, print_table, report_or_warning

if TYPE_CHECKING:
    from xlip.ablation.run import AblateConfig
    from xlip.demo import DemoConfig
    from xlip.finetune.predict import PredictConfig
    from xlip.finetune.run import FinetuneConfig
    from xlip.speed.plan import PlanConfig
    from xlip.speed.run import BenchConfig
    from xlip.train.config import PretrainConfig
    from xlip.train.faults import ReplayConfig


def run_demo(config: DemoConfig) -> None:
    """Train on the phantom and compare."""
    from xlip.demo import demo

    demo(config, say=print)


def run_pretrain(config: PretrainConfig) -> None:
    """Pre-train."""
    from xlip.evaluate.during_training import training_evaluation
    from xlip.train.loop import pretrain

    if config.dry_run:
        from xlip.speed.dry_run import dry_run

        print_plan(dry_run(config))
        return
    run = pretrain(config, training_evaluation(config.evaluate, config.prompts))
    if not run.main:
        return
    last = run.curve[-1] if run.curve else {}
    print(f"{config.out}: {config.steps} steps" + ("" if last else "; saved as it was built"))
    if last:
        print(
            f"loss {last['total']:.3f} at step {last['step']}, {last['images_per_s']:.0f} images/s, "
            f"{last['share_of_matmul_rate']:.0%} of this machine's matrix rate"
        )
    print(f"next: xlip zeroshot --model {config.out} --data PARQUET_OR_CSV --out DIR")


def run_plan(config: PlanConfig) -> None:
    """Plan a run on N nodes."""
    from xlip.speed.plan import plan

    print_plan(plan(config))


def print_plan(found: dict[str, Any]) -> None:
    """Figures of a plan, one a line."""
    for name, value in found.items():
        if name == "streams":
            for stream, facts in value.items():
                said = ", ".join(f"{key.replace('_', ' ')} {one}" for key, one in facts.items())
                print(f"{stream}: {said}")
            continue
        shown = ", ".join(value) if isinstance(value, list) else f"{value:,.4g}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' ')}: {shown}")


def run_bench(part: str) -> Callable[[BenchConfig], None]:
    """A function that measures one part and prints what it found as JSON."""

    def run(config: BenchConfig) -> None:
        import json

        from xlip.speed.run import bench

        print(json.dumps(bench(part, config), indent=1))

    return run


def run_replay(config: ReplayConfig) -> None:
    """Look at a step that went wrong."""
    from pathlib import Path

    from xlip.train.faults import replay

    found = replay(Path(config.folder))
    names = list(dict.fromkeys((*found.said, *(name for share in found.shares for name in share))))
    rows = [
        [name, *(f"{values[name]:.4g}" if name in values else "" for values in (found.said, *found.shares))]
        for name in names
    ]
    print_table(["term", f"step {found.step}", *(f"again, share {n}" for n in range(len(found.shares)))], rows)
    print(f"first module that is not finite: {', '.join(found.modules) or 'none in fp32 on this machine'}")
    print(f"studies that are not finite on their own: {', '.join(found.studies) or 'none'}")


def run_finetune(config: FinetuneConfig) -> None:
    """Fine-tune a classifier."""
    from pathlib import Path

    from xlip.evaluate.finetuning import finetune_to, table_rows
    from xlip.pages.write import add_pages
    from xlip.results.figures import FineTuningFigures

    result = finetune_to(config, say=print)
    page = "no page, see above"
    with report_or_warning(config.out):
        page = str(add_pages(result, Path(config.out))[0])
    assert isinstance(result.figures, FineTuningFigures)
    header, *rows = table_rows(result.figures.table)
    print_table(header, rows)
    print_left_out(result.figures.left_out)
    print_sanity(result.figures)
    print_dropped(result.dropped)
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"look at {page}")
    print(f"next: xlip predict --model {config.out} --data CSV_OR_PARQUET_OR_FOLDER --out scores.csv")


def run_ablate(config: AblateConfig) -> None:
    """Train and compare variants."""
    from xlip.ablation.run import ablate

    print(f"look at {ablate(config, say=print)}; table.md and table.parquet beside it")


def run_predict(config: PredictConfig) -> None:
    """Predict."""
    from xlip.finetune.predict import predict_to

    predicted = predict_to(config)
    print(f"{config.out}: {predicted.images} images; research use only, not a medical device")
    print_dropped(predicted.dropped)
