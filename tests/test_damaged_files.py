"""Every file that a command reads is damaged in nine ways: the command works, or says in one line what is wrong.

A new command needs a case in `CASES`: its words, and the files and folders that it reads.
"""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from damaged_inputs import FINETUNE, RAW, light
from damages import DAMAGES, Damage, cut, flip, flip_one_bit, folder_in_its_place, missing, without_override
from xlip.cli import COMMANDS, main

PER_CASE = 1
"""Damages of each case in the default suite; the slow one takes all."""
OFTEN = ("csv", "folder", "dicom", "openi")
"""Of the sources, those that the default suite takes."""
SELDOM = ("export",)
"""Tracing the graphs takes half a minute: only the slow suite does."""
READS_NOTHING = {
    "bench step": "it makes its own numbers",
    "bench encode": "it makes its own numbers",
    "bench prepare": "it makes phantoms in a folder of its own",
    "demo": "it makes phantoms and reads none of its own files again",
    "doctor": "it looks at the machine and at what is installed",
    "completion": "it knows the commands",
    "pacs listen": "it reads what peers send, which tests/pacs/test_listen.py damages",
}
TOLD = re.compile(
    r"dropped|warning|damaged|cannot|could not|not read|unreadable|missing|anew|passed over|empty|without|"
    r"left out|HTML",
    re.I,
)
"""What a line says that tells of something lost."""
TEXTS = (".txt", ".csv", ".jsonl", ".yaml")
"""A part of them may be the whole of another."""
FLIPS = (flip, flip_one_bit)
SUMMED = (".png", ".parquet", ".safetensors", ".npz")
"""Files with sums over their content. In others (texts, DICOM, JPEG) another bit may be as right."""
FOREIGN = ("vit/", "bert/")
"""Folders that other programs wrote, without sums."""
TABLES = ("quarantine.csv", "warnings.csv", "dropped.csv")
SECONDS = re.compile(r'"(seconds|date|images_per_s|share_of_matmul_rate|data_wait_share)": [^,\n}]+|\b\d+(\.\d+)? s\b')


@dataclass(frozen=True)
class Case:
    """How a command is called. `{}` is the folder of its inputs (`damaged_inputs.py`), `{out}` what it writes."""

    words: str
    reads: str
    """Files and folders below `{}`, all of whose files it may read."""
    result: str = ""
    """What it writes, as patterns below `{out}`: equal to that from whole files where nothing is said."""
    loose: str = ""
    """Of these, folders of any number of files: that one is gone can be no surprise."""


PREPARE = {
    f"prepare-{name}": Case(
        f"prepare {name} {words} --workers 0 --out {{out}}", f"raw/{name}", "*.parquet", f"raw/{name}"
    )
    for name, words in RAW.items()
}
SCORED = "metrics.json scores.csv"
NOBODY = "http://127.0.0.1:9/dicom-web"
"""No server answers there: what is read before is read nevertheless."""
CASES = {
    **PREPARE,
    "audit": Case("audit {}/set --against {}/other --exclusions {}/exclusions.csv --workers 0 --out {out}/audit.json",
                  "set other exclusions.csv", "audit.json"),
    "inspect": Case("inspect {}/set --out {out}/page.html", "set", "page.html"),
    "tag": Case("tag {}/reports --out {out}/tags.jsonl", "reports", "tags.jsonl", loose="reports"),
    "tag-set": Case("tag {}/set --out {out}/tags.parquet", "set", "tags.parquet"),
    "pretrain": Case("pretrain --config {}/run.yaml --prompts {}/prompts.yaml --data.exclusions {}/exclusions.csv "
                     "--evaluate.every 1 --evaluate.data {}/table/mine.csv --out {out}",
                     "run.yaml set prompts.yaml exclusions.csv table", "model.safetensors"),
    "pretrain-resume": Case("pretrain --config {}/run.yaml --steps 3 --out {}/run --resume auto", "run"),
    "pretrain-start": Case("pretrain --config {}/run.yaml --model.image_checkpoint {}/model --out {out}",
                           "model", "model.safetensors"),
    "pretrain-towers": Case("pretrain --config {}/run.yaml --model.image_checkpoint {}/vit --model.text_checkpoint "
                            "{}/bert --out {out}", "vit bert", "model.safetensors"),
    "pretrain-dry": Case("pretrain --config {}/run.yaml --dry_run true --out {out}", "run.yaml set"),
    "plan": Case("plan {}/run.yaml --gflops 100 --disk_gb_s 1 --out {out}/plan.json", "run.yaml"),
    "bench-data": Case("bench data --smallest true --rounds 1 --data {}/set --out {out}/bench.json", "set"),
    "replay": Case("replay {}/fault", "fault"),
    "zeroshot": Case("zeroshot --model {}/model --data {}/set --prompts {}/prompts.yaml --replicates 20 --out {out}",
                     "model set prompts.yaml cache", SCORED),
    "zeroshot-table": Case("zeroshot --model {}/model --data {}/table/mine.csv --replicates 20 --no-cache --out {out}",
                           "table", SCORED),
    "zeroshot-query": Case("zeroshot --model {}/model --data {}/table/mine.csv --query effusion --out {out}", "table",
                           "ranking.csv"),
    "evaluate": Case("evaluate --suite {}/suite.yaml --model {}/model --data mine={}/set --replicates 20 --out {out}",
                     "suite.yaml model set", "summary.md"),
    "compare": Case("compare {}/scores {}/others --replicates 20 --out {out}", "scores others", "comparison.json"),
    "leaderboard": Case("leaderboard {}/scores {}/others --replicates 20 --out {out}", "scores others",
                        "leaderboard.json"),
    "report": Case("report {}/scores --model {}/model --data {}/set --prompts {}/prompts.yaml --out {out}",
                   "scores model set prompts.yaml", "per_kind.csv"),
    "probe": Case("probe {}/model --singles 8 --out {out}", "model", "interaction.json"),
    "finetune": Case(f"finetune --model {{}}/model --data {{}}/set {FINETUNE} --baseline {{}}/classifier --out {{out}}",
                     "model set classifier", SCORED),
    "finetune-table": Case(f"finetune --model {{}}/model --data {{}}/table/mine.csv {FINETUNE} --patient_column "
                           "patient --split_column split --out {out}", "table", SCORED),
    "finetune-again": Case(f"finetune --model {{}}/model --data {{}}/set {FINETUNE} --out {{}}/classifier",
                           "classifier"),
    "predict": Case("predict --model {}/classifier --data {}/set --out {out}/scores.csv", "classifier set",
                    "scores.csv"),
    "predict-table": Case("predict --model {}/classifier --data {}/table/mine.csv --out {out}/scores.csv", "table",
                          "scores.csv"),
    "predict-folder": Case("predict --model {}/classifier --data {}/table --out {out}/scores.csv", "table",
                           "scores.csv", loose="table"),
    "ablate": Case("ablate {}/plan.yaml --quick --replicates 20 --out {out}", "plan.yaml base.yaml other", "table.md"),
    "ablate-again": Case("ablate {}/plan.yaml --quick --replicates 20 --out {}/ablation", "ablation"),
    "explain": Case("explain {}/films/0.dcm --model {}/model --report {}/reports/one.txt --rule {}/rule.json --prompts "
                    "{}/prompts.yaml --side 64 --out {out}",
                    "model films/0.dcm reports/one.txt rule.json prompts.yaml", "boxes.csv"),
    "explain-table": Case("explain {}/table/mine.csv --model {}/model --kinds Effusion --side 64 --out {out}", "table",
                          "boxes.csv"),
    "explain-folder": Case("explain {}/films --model {}/model --kinds Effusion --side 64 --out {out}", "films",
                           "boxes.csv", loose="films"),
    "triage": Case("triage {}/films --model {}/model --reference {}/set --rule {}/rule.json --no_maps --out "
                   "{out}/list.csv", "films model set rule.json", "list.csv", loose="films"),
    "triage-index": Case("triage {}/films --model {}/model --reference {}/index --no_maps --out {out}/list.csv",
                         "index", "list.csv"),
    "abstain": Case("abstain --model {}/model --data {}/set --split train --prompts {}/prompts.yaml --specificity 0.5 "
                    "--out {out}/rule.json", "model set prompts.yaml", "rule.json"),
    "abstain-table": Case("abstain --model {}/model --data {}/table/mine.csv --specificity 0.5 --out {out}/rule.json",
                          "table", "rule.json"),
    "embed": Case("embed --model {}/model --data {}/set --workers 0 --out {out}", "model set", "index.json"),
    "embed-table": Case("embed --model {}/model --data {}/table/mine.csv --workers 0 --out {out}", "table",
                        "index.json"),
    "embed-films": Case("embed --model {}/model --data {}/films --key {}/key --any_picture --workers 0 --out {out}",
                        "films key", "index.json", loose="films"),
    "embed-again": Case("embed --model {}/model --data {}/other --workers 0 --out {}/index", "index"),
    "search": Case("search {}/index --text effusion --html {out}/page.html --out {out}/hits.csv", "index model",
                   "hits.csv"),
    "search-image": Case("search {}/index --image {}/table/0.png --out {out}/hits.csv", "table", "hits.csv",
                         loose="table"),
    "index": Case("index {}/index --compact", "index"),
    "export": Case("export --model {}/model --data {}/table/mine.csv --out {out}", "model table", "export.json"),
    "save": Case("save --model {}/model --evaluation {}/scores --out {out}", "model scores", "README.md"),
    "push": Case("push mine/model --model {}/model --evaluation {}/scores --dry_run", "model scores"),
    "pacs-pull": Case(f"pacs pull {NOBODY} --studies {{}}/uids.txt --access.attempts 1 --out {{out}}", "uids.txt"),
    "pacs-write": Case("pacs write {}/films --model {}/model --kinds Effusion --objects sc --prompts {}/prompts.yaml "
                       "--out {out}", "films model prompts.yaml", "*/*.dcm", loose="films"),
    "pacs-send": Case(f"pacs send {{}}/films --to {NOBODY} --access.attempts 1", "films"),
    "serve": Case("serve --model {}/model --port 0 --tokens {}/tokens.txt --prompts {}/prompts.yaml --kinds Effusion "
                  "--index {}/index --population {}/scores",
                  "model tokens.txt prompts.yaml index scores"),
}  # fmt: skip


def test_every_command_has_a_case() -> None:
    for name in COMMANDS:
        has = any(case.words.startswith(f"{name} ") for case in CASES.values())
        assert has != (name in READS_NOTHING), (
            f"the command {name} needs a line in CASES of tests/test_damaged_files.py: its words and the files that it "
            "reads (tests/damaged_inputs.py makes them); or one in READS_NOTHING with the reason"
        )


def files_of(case: Case, inputs: Path) -> list[str]:
    """Every file that a case may read, below the folder of inputs."""
    found = []
    for part in case.reads.split():
        assert (inputs / part).exists(), part
        below = [inputs / part] if (inputs / part).is_file() else sorted((inputs / part).rglob("*"))
        found += [str(file.relative_to(inputs)) for file in below if file.is_file()]
    return found


def copied(case: Case, inputs: Path, place: Path) -> None:
    """The case's inputs as copies, all others as links to them."""
    place.mkdir(parents=True)
    own = {part.split("/")[0] for part in (*case.reads.split(), "cache", *_within(case))}
    for one in inputs.iterdir():
        if one.suffix == ".yaml":
            text = one.read_text("utf-8")
            for name in own:  # the rest stays where it is: what is kept under the names of its inputs is found again
                text = text.replace(f"{inputs}/{name}", f"{place}/{name}")
            (place / one.name).write_text(text, "utf-8")
        elif one.name not in own:
            (place / one.name).symlink_to(one)
        elif one.is_dir():
            shutil.copytree(one, place / one.name)
        else:
            shutil.copy(one, place / one.name)


def _within(case: Case) -> list[str]:
    """A folder of inputs that the case writes to."""
    return re.findall(r"--out {}/(\w+)", case.words)


@dataclass(frozen=True)
class Outcome:
    """What one call did."""

    code: int
    said: str
    error: str
    out: Path
    results: dict[str, str | bytes]


def called(case: Case, place: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> Outcome:
    """Run the command without the rights of root, with a cache of its own."""
    within = _within(case)
    capfd.readouterr()
    with light() as patch, without_override():
        patch.setenv("XLIP_CACHE", str(place / "cache"))
        patch.setattr(uvicorn.Server, "run", lambda *arguments, **options: None)  # all is read before it answers
        code = main([word.replace("{out}", str(out)).replace("{}", str(place)) for word in case.words.split()])
    said, error = capfd.readouterr()
    written = [file for pattern in case.result.split() for file in sorted(out.glob(pattern))] if not within else []
    results = {str(file.relative_to(out)): plain(file, place, out) for file in written}
    for name in TABLES:
        said += (out / name).read_text("utf-8") if (out / name).is_file() else ""
    return Outcome(code, said + error, error, place / within[0] if within else out, results)


def plain(file: Path, place: Path, out: Path) -> str | bytes:
    """What a file says, but for where it lies and how long it took; of DICOM, which has new UIDs, that it is there."""
    if file.suffix == ".dcm":
        return b""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        return file.read_bytes()
    return SECONDS.sub("", text.replace(str(out), "OUT").replace(str(place), "IN"))


def check(name: str, file: str, damage: Damage, whole: Outcome, inputs: Path, folder: Path, capfd) -> None:
    case, place = CASES[name], folder / "in"
    copied(case, inputs, place)
    damage(place / file)
    found = called(case, place, folder / "out", capfd)
    assert "Traceback" not in found.said, found.said
    assert found.code in (0, 1, 2), found.said
    if found.code == 2:
        lines = [line for line in found.error.splitlines() if line.startswith("xlip: ")]
        assert len(lines) == 1, found.error
        assert found.error.splitlines()[-1] == lines[0], found.error
        above = [str(path) for path in (place / file, *(place / file).parents) if path.is_relative_to(place)]
        assert any(path in lines[0] for path in above[:-1]) or Path(file).name in lines[0], lines[0]
        assert re.search(r";|expected|\btry\b", lines[0]), lines[0]
        assert not found.results, f"left {list(found.results)}: {lines[0]}"
    elif found.results != whole.results and not nobody_can_tell(case, file, damage):
        said = [line for line in found.said.splitlines() if line not in whole.said.splitlines()]
        told = any(Path(file).name in line or TOLD.search(line) for line in said)
        assert told, f"another result without a word: {found.said}"
    assert not [path for path in folder.rglob("*.partial") if path.exists()]


def nobody_can_tell(case: Case, file: str, damage: Damage) -> bool:
    """Whether what is left looks like something that was meant."""
    if damage in (missing, folder_in_its_place) and file.startswith(tuple(case.loose.split() or ["-"])):
        return True
    if damage is cut and file.endswith(TEXTS):
        return True
    return damage in FLIPS and (not file.endswith(SUMMED) or file.startswith(FOREIGN))


def cases(name: str, inputs: Path) -> list[tuple[str, Damage]]:
    """Every file of a case in every damage."""
    return [(file, damage) for file in files_of(CASES[name], inputs) for damage in DAMAGES]


def sweep(name: str, chosen: list[tuple[str, Damage]], inputs: Path, folder: Path, capfd) -> list[str]:
    """The faults that were found."""
    copied(CASES[name], inputs, folder / "whole" / "in")
    whole = called(CASES[name], folder / "whole" / "in", folder / "whole" / "out", capfd)
    assert whole.code in (0, 1), whole.said
    assert len(whole.results) >= len(CASES[name].result.split()), whole.results
    faults = []
    for number, (file, damage) in enumerate(chosen):
        place = folder / str(number)
        try:
            check(name, file, damage, whole, inputs, place, capfd)
        except Exception as error:  # a fault of any kind is one finding among all
            faults.append(f"{name} {file} {damage.__name__}: {type(error).__name__} {str(error)[-600:]}")
        shutil.rmtree(place, ignore_errors=True)
    return faults


@pytest.mark.parametrize("name", [name for name in CASES if name not in (*PREPARE, *SELDOM) or name.endswith(OFTEN)])
def test_a_damaged_file_is_survived_or_named(name: str, inputs: Path, tmp_path: Path, capfd) -> None:
    chosen = random.Random(name).sample(cases(name, inputs), PER_CASE)
    assert not (faults := sweep(name, chosen, inputs, tmp_path, capfd)), "\n".join(faults)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_damaged_file_is_survived_or_named(name: str, inputs: Path, tmp_path: Path, capfd) -> None:
    assert not (faults := sweep(name, cases(name, inputs), inputs, tmp_path, capfd)), "\n".join(faults)
