"""Examples of every command, which `xlip COMMAND --help` ends with; tests/cli/test_examples.py runs or parses each."""

from __future__ import annotations

EXAMPLES_TITLE = "examples:"
EXIT_CODES = {
    0: "done",
    1: "done, and something needs a look: a leak, a faulty entry of a suite, a film or an object left out",
    2: "a fault in the input or in what surrounds the command, said in one line",
    130: "stopped by Ctrl-C",
    141: "what read the output has closed it, as `head` does",
    143: "stopped by SIGTERM",
}
"""Documented in docs/reference/command_line.md."""
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("xlip demo --quick --out demo-quick", "xlip demo --out demo"),
    "prepare": (
        "xlip prepare phantom --out data/phantom --options.count 40 --options.size 128 --workers 0",
        "xlip prepare csv --root my.csv --out data/mine --holdout 0.2 --options.image_column path "
        "--options.report_column report --options.patient_column patient",
        "xlip prepare dicom --root archive --out data/archive --key site.key",
    ),
    "audit": ("xlip audit data/phantom --against data/other --out audit.json",),
    "inspect": ("xlip inspect data/phantom --limit 3", "xlip inspect data/phantom --out studies.html"),
    "tag": ("xlip tag reports.jsonl --out entities.jsonl", "xlip tag report.txt --explain"),
    "pretrain": (
        "xlip pretrain --config mine.yaml --out runs/mine",
        "xlip pretrain --config mine.yaml --out runs/mine --resume auto",
    ),
    "replay": ("xlip replay runs/mine/faults/step-120",),
    "zeroshot": (
        "xlip zeroshot --model phantom --data data/phantom --out results/phantom",
        "xlip zeroshot --model runs/mine --data my.csv --image-column path --kinds Pneumonia --out results/csv",
        'xlip zeroshot --model phantom --data data/phantom --query "left pleural effusion" --out results/query',
    ),
    "report": ("xlip report results/phantom --model phantom --data data/phantom --out results/page",),
    "ablate": ("xlip ablate plan.yaml --out ablation",),
    "probe": ("xlip probe phantom --out results/probe --singles 26",),
    "evaluate": ("xlip evaluate --suite suite.yaml --model phantom --data mine=data/phantom --out results/suite",),
    "leaderboard": ("xlip leaderboard results/phantom results/others --out results/board",),
    "plan": ("xlip plan configs/real_mini.yaml --nodes 2 --devices 4 --gflops 20000",),
    "bench data": ("xlip bench data --out bench-data.json",),
    "bench step": ("xlip bench step --out bench-step.json",),
    "bench encode": ("xlip bench encode --out bench-encode.json",),
    "bench prepare": ("xlip bench prepare --out bench-prepare.json",),
    "compare": ("xlip compare results/phantom results/others --out results/comparison",),
    "finetune": ("xlip finetune --model phantom --data data/mine --out runs/tuned --fractions 0.1,1 --seeds 0,1,2",),
    "predict": ("xlip predict --model runs/tuned --data my.csv --out scores.csv",),
    "explain": (
        "xlip explain chest.png --model phantom --kinds Effusion,Cardiomegaly --out maps",
        'xlip explain chest.png --model phantom --text "left pleural effusion" --out maps-text',
    ),
    "triage": ("xlip triage films --model phantom --out worklist.csv",),
    "abstain": ("xlip abstain --model phantom --data data/phantom --out rule.json",),
    "embed": ("xlip embed --model phantom --data data/phantom --out index --workers 0",),
    "search": (
        'xlip search index --text "left pleural effusion" --top 5',
        "xlip search index --image chest.png --find reports --html like.html",
    ),
    "index": ("xlip index index", "xlip index index --compact"),
    "export": ("xlip export --model phantom --out exported", "xlip export --model runs/mine --out exported --int8"),
    "save": ("xlip save --model phantom --out saved",),
    "push": ("xlip push me/my-model --model runs/mine --dry-run",),
    "pacs pull": ("xlip pacs pull http://127.0.0.1:8042/dicom-web --studies uids.txt --out films",),
    "pacs listen": ("xlip pacs listen films --port 11112",),
    "pacs write": ("xlip pacs write films --model phantom --kinds Effusion --out objects",),
    "pacs send": ("xlip pacs send objects --to http://127.0.0.1:8042/dicom-web",),
    "serve": ("xlip serve --model phantom", "xlip serve --model phantom --index index --port 8080"),
    "doctor": ("xlip doctor", "xlip doctor --command serve", "xlip doctor --json"),
    "completion": ('eval "$(xlip completion bash)"', "xlip completion fish > ~/.config/fish/completions/xlip.fish"),
}
"""Command -> what one types."""


def epilogue(name: str) -> str:
    """What the help of a command ends with: its examples, and where exit codes are told."""
    lines = [EXAMPLES_TITLE, *(f"  {line}" for line in EXAMPLES.get(name, ()))]
    return "\n".join(
        [*lines, "", "--json prints tables and lines as one JSON object; `xlip --help` lists the exit codes."]
    )
