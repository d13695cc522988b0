"""A kind that XLIP does not know, with a column and prompts of its own, is measured like every other."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tiny import tiny_model
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.phantom import generate
from xlip.study.parquet import read_studies
from xlip.study.prompts import load_prompts
from xlip.train.build import training_kinds

PAIR = "{positive: [a pleural effusion., fluid at the base.], negative: [no pleural effusion.]}"
OWN = f"sets: {{own: {{version: 1, kinds: {{my_finding: {PAIR}, Effusion: {PAIR}}}}}}}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a prompt file, and a table with one kind of its own and a known one of the same labels."""
    root = tmp_path_factory.mktemp("own")
    tiny_model().save_pretrained(root / "model")
    (root / "own.yaml").write_text(OWN)
    with (root / "my.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "patient", "split", "colour", "my_finding", "Effusion"])
        for number in range(16):
            phantom = generate(number, size=64)
            Image.fromarray(phantom.pixels).save(root / f"{number}.png")
            label = phantom.labels["Effusion"]
            split = "test" if number % 2 else "train"
            table.writerow([f"{number}.png", f"p{number}", split, "red", label, label])
    return root


def run(place: Path, words: str) -> int:
    return main([word.replace("{}", str(place)) for word in words.split()])


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


ZEROSHOT = "zeroshot --model {}/model --data {}/my.csv --prompts {}/own.yaml --replicates 20 --out {}/"


def test_it_scores_what_a_known_kind_with_its_prompts_and_labels_scores(place: Path, capsys) -> None:
    assert run(place, ZEROSHOT + "one --kinds my_finding") == 0
    assert run(place, ZEROSHOT + "known --kinds Effusion") == 0
    one, known = (metrics(place / name)["per_kind"] for name in ("one", "known"))
    assert list(one) == ["my_finding"]
    assert one["my_finding"] == known["Effusion"]
    assert one["my_finding"]["auroc"] is not None
    assert "my_finding" in capsys.readouterr().out
    assert run(place, ZEROSHOT + "both --kinds Effusion,my_finding --query fluid") == 0
    assert (place / "both" / "ranking.csv").is_file()


def test_two_evaluations_of_it_are_compared(place: Path, capsys) -> None:
    assert run(place, ZEROSHOT + "a --kinds my_finding") == run(place, ZEROSHOT + "b --kinds my_finding") == 0
    assert run(place, "compare {}/a {}/b --replicates 20 --out {}/compared") == 0
    assert "my_finding" in (place / "compared" / "comparison.json").read_text()


def test_a_suite_measures_it(place: Path) -> None:
    suite = """
suite: mine
data: {mine: {kinds: [my_finding]}}
entries:
  zeroshot: {evaluator: zeroshot, data: mine, prompts: OWN}
  chance: {evaluator: chance, data: mine}
"""
    (place / "suite.yaml").write_text(suite.replace("OWN", str(place / "own.yaml")))
    words = "evaluate --suite {}/suite.yaml --model {}/model --data mine={}/my.csv --replicates 20 --out {}/suite"
    assert run(place, words) == 0
    assert list(metrics(place / "suite" / "zeroshot")["per_kind"]) == ["my_finding"]


def test_a_prepared_set_keeps_it_and_training_takes_it_where_it_has_prompts(place: Path) -> None:
    words = "prepare csv --root {}/my.csv --image_column path --split_column split --kinds my_finding,Effusion"
    assert run(place, words + " --workers 0 --out {}/set") == 0
    assert all({"my_finding", "Effusion"} == set(study.labels) for study in read_studies(place / "set"))
    assert run(place, ZEROSHOT.replace("my.csv", "set") + "parquet --kinds my_finding") == 0
    assert list(metrics(place / "parquet")["per_kind"]) == ["my_finding"]

    class Table:
        def known_kinds(self) -> set[str]:
            return {"my_finding", "Effusion"}

    tables = {"images": Table()}
    assert training_kinds(tables, load_prompts(str(place / "own.yaml"))) == ["Effusion", "my_finding"]
    assert training_kinds(tables, load_prompts("xlip")) == ["Effusion"]


def test_a_classifier_learns_it(place: Path, capsys) -> None:
    recipe = "--recipe.least_steps 1 --recipe.most_steps 1 --recipe.checks 1 --augment null --validation 0"
    words = "finetune --model {}/model --data {}/my.csv --split_column split --patient_column patient --out {}/tuned"
    assert run(place, f"{words} --kinds my_finding --prompts {{}}/own.yaml --replicates 20 {recipe}") == 0
    assert run(place, "predict --model {}/tuned --data {}/my.csv --out {}/predicted.csv") == 0
    assert (place / "predicted.csv").read_text().startswith("image,my_finding\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (ZEROSHOT.replace("{}/own.yaml", "xlip") + "x --kinds my_finding", "no prompts for 'my_finding'"),
        (ZEROSHOT + "x --kinds my_findnig", "unknown kind 'my_findnig'; did you mean"),
        (ZEROSHOT + "x --kinds colour", "unknown kind 'colour', and the column of that name holds no labels"),
    ],
)
def test_what_was_not_meant_is_one_line(words: str, said: str, place: Path, capsys) -> None:
    assert run(place, words) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("xlip: ")
    assert said in line
    assert not (place / "x").exists()


def test_a_name_that_neither_xlip_nor_the_labels_know_is_refused_in_a_prepared_set(place: Path, tmp_path: Path) -> None:
    from xlip.evaluate.cases import open_cases
    from xlip.preparation.run import prepare

    prepare("phantom", Path(), tmp_path / "set", workers=0, options={"count": 8, "size": 64})
    with pytest.raises(XLIPError, match="unknown kind 'my_finding'"):
        open_cases(str(tmp_path / "set"), kinds="my_finding")
