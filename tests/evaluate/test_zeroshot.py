from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from fake_model import FakeModel
from tiny import KINDS, tiny_model
from xlip.batches.pixels import as_pixels
from xlip.errors import XLIPError
from xlip.evaluate.adapter import load_model
from xlip.evaluate.cases import open_cases
from xlip.evaluate.zeroshot import ZeroShot, evaluate_zero_shot, text_classifier
from xlip.identity import checkpoint_id
from xlip.images.files import encode
from xlip.phantom import generate
from xlip.preparation.run import prepare
from xlip.results.folder import write_folder
from xlip.results.result import Result
from xlip.runtime.scores import kind_scores
from xlip.study.prompts import load_prompts

PER_KIND = {"auroc", "auprc", "positives", "negatives", "ci95"}
ASKED = {"macro_auroc", "per_kind", "prompts", "split", "preprocessing", "checkpoint"}
BESIDES = {"macro_ci95", "macro_auprc", "left_out", "images", "dropped", "evaluator", "sanity", "seconds"}
BESIDES |= {"subgroups", "long_tail", "scoring", "negation", "schema_version", "xlip", "replicates", "bootstrap_seed"}
BESIDES |= {"abstention", "cohort", "decisions"}
COUNT = 60
MODEL = tiny_model().eval()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's CSV: label columns named as the public sets name them."""
    root = tmp_path_factory.mktemp("mine")
    columns = {"Effusion": "pleural effusion", "Pleural_Thickening": "Pleural_Thickening", "Edema": "Oedema"}
    with (root / "my.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "patient", *columns.values()])
        for index in range(COUNT):
            phantom = generate(index, size=64)
            (root / f"{index}.png").write_bytes(encode(phantom.pixels, lossless=True))
            writer.writerow([f"{index}.png", index // 2, *(phantom.labels[kind] for kind in columns)])
    return root / "my.csv"


@pytest.fixture(scope="module")
def result(table: Path) -> Result:
    return evaluate_zero_shot(MODEL, str(table), patient_column="patient", replicates=50)


def rewrite(table: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of the table, beside links to its images, with its text changed."""
    for image in table.parent.glob("*.png"):
        (folder / image.name).symlink_to(image)
    text = table.read_text()
    assert old in text
    (folder / "my.csv").write_text(text.replace(old, new, 1))
    return folder / "my.csv"


def test_scores_follow_the_formula_and_lie_in_their_range() -> None:
    classifier = text_classifier(MODEL, load_prompts("xlip"), KINDS)
    images = MODEL.encode_image([generate(index, size=64).pixels for index in range(3)])
    scores = kind_scores(images.numpy(), classifier.numpy(), 20.0)
    for image in range(3):
        for kind in range(len(KINDS)):
            positive, negative = (images[image].double() @ classifier[kind].double().T * 20.0).exp().tolist()
            assert scores[image, kind] == pytest.approx(positive / (positive + negative), abs=1e-12)
    assert torch.allclose(classifier.norm(dim=-1), torch.ones(len(KINDS), 2))
    texts = load_prompts("xlip").positive("Effusion")
    mean = torch.stack([MODEL.encode_text(text)[0] for text in texts]).mean(0)
    assert torch.allclose(classifier[0, 0], mean / mean.norm(), atol=1e-5)


def test_the_local_head_adds_its_share_and_the_cache_keeps_it(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLIP_CACHE", str(tmp_path / "cache"))
    MODEL.save_pretrained(tmp_path / "model")
    model, cases = load_model(str(tmp_path / "model")), open_cases(str(table))
    made = [ZeroShot(local_share=share, replicates=1).run(model, open_cases(str(table))) for share in (0.7, 0.7, 0.0)]
    first, again, without = (result.predictions.scores for result in made)
    assert np.array_equal(first, again)
    assert made[0].identity["local_share"] == "0.7"
    assert "local_share" not in made[2].identity
    classifier = text_classifier(model, load_prompts("xlip"), cases.kinds)
    with torch.no_grad():
        for row in (0, 5):
            pixels = as_pixels(generate(row, size=64).pixels[None])
            places = MODEL.places(pixels)[0].reshape(-1, MODEL.config.embed_dim).double()
            for k in range(len(cases.kinds)):
                asked = torch.nn.functional.normalize(MODEL.local.query(classifier[k]), dim=-1).double()
                d = (places @ asked.T) * float(MODEL.local.log_scale.exp())
                present, absent = d.exp().mean(0).log()
                local = float(present - absent)
                plain = np.log(without[row, k] / (1 - without[row, k]))
                assert first[row, k] == pytest.approx(1 / (1 + np.exp(-plain - 0.7 * local)), abs=1e-4)


def test_another_architecture_has_no_local_term(table: Path) -> None:
    with pytest.raises(XLIPError, match="has no local head"):
        ZeroShot(local_share=0.5).run(FakeModel(), open_cases(str(table)))


def test_swapped_prompts_give_one_minus_the_area(table: Path, result: Result, tmp_path: Path) -> None:
    prompts = load_prompts("xlip")
    swapped = {kind: {"positive": [*prompts.negative(kind)], "negative": [*prompts.positive(kind)]} for kind in KINDS}
    assert result.kinds is not None
    for kind in result.kinds.per_kind:
        swapped[kind] = {"positive": [*prompts.negative(kind)], "negative": [*prompts.positive(kind)]}
    sets = {"swapped": {"version": 1, "positive": ["{}"], "negative": ["no {}"], "kinds": swapped}}
    (tmp_path / "swapped.yaml").write_text(yaml.safe_dump({"sets": sets}))
    other = evaluate_zero_shot(MODEL, str(table), prompts=str(tmp_path / "swapped.yaml"), replicates=2)
    assert other.kinds is not None
    for kind, ours in result.kinds.per_kind.items():
        assert ours.auroc != 0.5
        assert other.kinds.per_kind[kind].auroc == pytest.approx(1 - ours.auroc, abs=1e-9)


def test_metrics_json_has_the_keys_that_were_asked_for_and_strict_json(result: Result, tmp_path: Path) -> None:
    write_folder(result, tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert set(metrics) == ASKED | BESIDES
    assert set(metrics["per_kind"]) == {"Edema", "Effusion", "Pleural_Thickening"}
    for kind, figures in metrics["per_kind"].items():
        assert set(figures) == PER_KIND, kind
        assert figures["positives"] + figures["negatives"] == COUNT
        low, high = figures["ci95"]
        assert 0 <= low <= figures["auroc"] <= high <= 1
    assert metrics["prompts"] == "xlip@3"
    assert metrics["preprocessing"] == "letterbox/64"
    assert metrics["split"].startswith(f"my:{COUNT}:")
    assert metrics["images"] == COUNT
    names = {"metrics.json", "scores.csv", "dropped.csv", "scores-pos.csv", "scores-neg.csv", "scores-no_x.csv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_scores_csv_repeats_the_figures(result: Result, tmp_path: Path) -> None:
    write_folder(result, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert result.predictions is not None
    assert result.kinds is not None
    for index, (kind, measured) in enumerate(result.kinds.per_kind.items()):
        labels, scores = ([float(row[name]) for row in rows] for name in (f"label:{kind}", kind))
        assert scores == pytest.approx(result.predictions.scores[:, index], abs=6e-7)
        assert (sum(labels), len(labels)) == (measured.positives, COUNT)


def test_a_kind_without_positives_is_null_and_left_out(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    blank = [line.rpartition(",")[0] + (",0" if i else ",Infiltration") for i, line in enumerate(lines)]
    copy = rewrite(table, tmp_path, lines[0], lines[0])
    copy.write_text("\n".join(blank))
    json_ = evaluate_zero_shot(MODEL, str(copy), kinds="Infiltration", replicates=5).figures.to_json()
    assert json_["per_kind"]["Infiltration"]["auroc"] is None
    assert json_["per_kind"]["Infiltration"]["ci95"] == [None, None]
    assert json_["macro_auroc"] is None
    assert json_["left_out"] == ["Infiltration"]


def test_the_split_id_names_the_studies_and_not_their_order(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    first = evaluate_zero_shot(MODEL, str(table), replicates=2).identity["split"]
    fewer = rewrite(table, tmp_path, "\n" + lines[-1], "")
    assert evaluate_zero_shot(MODEL, str(fewer), replicates=2).identity["split"] != first
    assert evaluate_zero_shot(MODEL, str(table), replicates=2, batch_size=7).identity["split"] == first


def test_prepared_parquet_scores_its_test_split_alone(tmp_path: Path) -> None:
    prepare("phantom", Path(), tmp_path / "set", workers=0, holdout=0.5, options={"count": 40, "size": 64})
    whole = evaluate_zero_shot(MODEL, str(tmp_path / "set"), replicates=2)
    train = evaluate_zero_shot(MODEL, str(tmp_path / "set"), split="train", replicates=2)
    tested, trained = (set(found.predictions.study_ids) for found in (whole, train) if found.predictions)
    assert tested
    assert not tested & trained
    assert len(tested | trained) == 40
    with pytest.raises(XLIPError, match="no study of split 'val'; its splits are test, train"):
        evaluate_zero_shot(MODEL, str(tmp_path / "set"), split="val")


def test_an_unreadable_image_is_dropped_and_named(table: Path, tmp_path: Path) -> None:
    copy = rewrite(table, tmp_path, "\n0.png", "\nbroken.png")
    (tmp_path / "broken.png").write_bytes(b"not an image at all")
    found = evaluate_zero_shot(MODEL, str(copy), replicates=2)
    assert found.figures.images == COUNT - 1
    ((row, reason),) = found.dropped
    assert row.endswith("my:2")
    assert "broken.png" in reason


def test_an_image_that_is_not_there_is_dropped_with_its_line(table: Path, tmp_path: Path) -> None:
    copy = rewrite(table, tmp_path, "\n1.png", "\ngone.png")
    found = evaluate_zero_shot(MODEL, str(copy), replicates=2)
    assert found.dropped == (("my.csv:3", "image file gone.png not found"),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_column": "file"}, r"my\.csv: no column 'file'; its columns are path, patient"),
        ({"patient_column": "person"}, r"my\.csv: no column 'person'"),
        ({"kinds": "Effusionn"}, r"unknown kind 'Effusionn'; did you mean .*Effusion"),
        ({"kinds": "Fracture"}, r"my\.csv: no column 'Fracture'"),
        ({"prompts": "nothing"}, r"prompts: expected one of .*got 'nothing'"),
    ],
)
def test_faults_are_one_line_that_says_what_to_do(table: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(XLIPError, match=message) as caught:
        evaluate_zero_shot(MODEL, str(table), **options)
    assert "\n" not in str(caught.value)


def test_a_table_without_labels_or_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("path\na.png\n")
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(XLIPError, match=r"bare\.csv: no labels to compare with"):
        evaluate_zero_shot(MODEL, str(tmp_path / "bare.csv"))
    (tmp_path / "bad.csv").write_text("path,Effusion\na.png,1\n")
    with pytest.raises(XLIPError, match=r"no image could be read \(1 dropped; first: .*a\.png"):
        evaluate_zero_shot(MODEL, str(tmp_path / "bad.csv"))
    with pytest.raises(XLIPError, match=r"expected a table .*, found no such file"):
        evaluate_zero_shot(MODEL, str(tmp_path / "none.csv"))


def test_the_checkpoint_id_follows_the_weights(tmp_path: Path) -> None:
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        tiny_model(seed).save_pretrained(tmp_path / name)
    first, same, other = (checkpoint_id(str(tmp_path / name)) for name in "abc")
    assert first == same != other
    assert len(first) == 12


def test_scores_do_not_depend_on_the_batch_size(table: Path, result: Result) -> None:
    again = evaluate_zero_shot(MODEL, str(table), batch_size=1, replicates=2)
    assert again.predictions is not None
    assert result.predictions is not None
    assert np.allclose(again.predictions.scores, result.predictions.scores, atol=1e-5)


def test_paths_and_lists_of_kinds_are_taken_and_data_in_memory_is_refused_in_one_line(table: Path) -> None:
    found = evaluate_zero_shot(MODEL, table, kinds=["Pleural_Thickening"], replicates=2)
    assert found.identity == evaluate_zero_shot(MODEL, str(table), kinds="Pleural_Thickening", replicates=2).identity
    with pytest.raises(XLIPError, match=r"data: expected the path .* got dict; write a DataFrame by to_csv"):
        evaluate_zero_shot(MODEL, {"path": ["a.png"], "Effusion": [1]})  # type: ignore[arg-type]
