"""The commands that pass a model to others: export, save, push."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xlip.cli.show import print_table

if TYPE_CHECKING:
    from xlip.export.publish import PushConfig, SaveConfig
    from xlip.export.run import ExportConfig


def run_export(config: ExportConfig) -> None:
    """Export."""
    from xlip.export.run import PARITY, export
    from xlip.runtime.export_facts import CLASSIFIER

    made = export(config, say=print)
    rows = [(one.form, one.output, f"{one.largest:.2g}", f"{one.mean:.2g}") for one in made.parity.differences]
    print_table(("form", "graph", "largest difference", "mean difference"), rows)
    for form, areas in made.parity.auroc.items():
        print(f"macro AUROC on {made.parity.data}, {form}: {areas.get('macro', float('nan')):.4f}")
    if config.int8:
        lost = made.parity.lost("int8")
        print(f"AUROC that int8 costs: {'not measured; name a set by --data' if lost is None else f'{lost:+.4f}'}")
    size = sum(made.facts.bytes.values()) / 1e6
    print(f"{config.out}: {', '.join(made.facts.bytes)}, {size:.1f} MB; {PARITY} says how well they agree")
    if made.facts.graphs:
        command = "predict" if made.facts.task == CLASSIFIER else "zeroshot"
        print(f"next: xlip {command} --model {config.out} --data PARQUET_OR_CSV --out OUT")


def run_save(config: SaveConfig) -> None:
    """Save in a hub's layout."""
    from xlip.export.publish import save

    files = save(config)
    print(f"{config.out}: {', '.join(file.name for file in files)}")
    print("read README.md, the model card, before you hand it on")


def run_push(config: PushConfig) -> None:
    """Push to a hub."""
    from xlip.export.publish import push

    pushed = push(config)
    for name, size in pushed.files.items():
        print(f"{name}: {size / 1e6:.2f} MB")
    seen = "public" if config.public else "private"
    if config.dry_run:
        print(f"nothing was sent; without --dry-run these would go to {config.repo} ({seen})")
    else:
        print(f"pushed to {pushed.url} ({seen})")
