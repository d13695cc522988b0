"""The commands that train or use a classifier: demo, pretrain, finetune, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlip.cli.show import print_dropped, print_left_out, print_sanity, print_table

if TYPE_CHECKING:
    from xlip.demo import DemoConfig
    from xlip.finetune.predict import PredictConfig
    from xlip.finetune.run import FinetuneConfig
    from xlip.train.loop import PretrainConfig


def run_demo(config: DemoConfig) -> None:
    """Train on the phantom and compare."""
    from xlip.demo import demo

    demo(config, say=print)


def run_pretrain(config: PretrainConfig) -> None:
    """Pre-train."""
    from xlip.evaluate.during_training import training_evaluation
    from xlip.train.loop import pretrain

    last = pretrain(config, training_evaluation(config.evaluate, config.prompts)).curve[-1]
    print(
        f"{config.out}: loss {last['total']:.3f} after {config.steps} steps, {last['images_per_s']:.0f} images/s, "
        f"{last['share_of_matmul_rate']:.0%} of this machine's matrix rate\n"
        f"next: xlip zeroshot --model {config.out} --data PARQUET_OR_CSV --out DIR"
    )


def run_finetune(config: FinetuneConfig) -> None:
    """Fine-tune a classifier."""
    from pathlib import Path

    from xlip.evaluate.finetuning import finetune_to, table_rows
    from xlip.pages.write import add_report
    from xlip.results.figures import FineTuningFigures

    result = finetune_to(config, say=print)
    page, *_ = add_report(result, Path(config.out))
    assert isinstance(result.figures, FineTuningFigures)
    header, *rows = table_rows(result.figures.table)
    print_table(header, rows)
    print_left_out(result.figures.left_out)
    print_sanity(result.figures)
    print_dropped(result.dropped)
    print(", ".join(f"{name} {value}" for name, value in result.identity.items()))
    print(f"look at {page}")
    print(f"next: xlip predict --model {config.out} --data CSV_OR_PARQUET_OR_FOLDER --out scores.csv")


def run_predict(config: PredictConfig) -> None:
    """Predict."""
    from dataclasses import asdict

    from xlip.finetune.predict import predict_to

    predicted = predict_to(**asdict(config))
    print(f"{config.out}: {predicted.images} images; research use only, not a medical device")
    print_dropped(predicted.dropped)
