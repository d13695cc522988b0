"""Pre-training with what the headers say (`image_attributes`), from prepared sets to the log."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest

from tiny import CONFIG, HEADERS
from xlip.batches.streams import Streams
from xlip.batches.study_table import SetConfig
from xlip.errors import XLIPError
from xlip.models.xlip import XLIPModel
from xlip.preparation.run import prepare
from xlip.study.attributes import attribute_families
from xlip.study.parquet import read_studies, write_studies
from xlip.study.record import Study
from xlip.train.loop import PretrainConfig, pretrain


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same phantoms with headers and with empty ones."""
    root = tmp_path_factory.mktemp("phantoms")
    prepare("phantom", Path(), root / "as made", workers=0, options={"count": 12, "size": 64})
    studies = list(read_studies(root / "as made"))
    headers = {"known": HEADERS, "empty": (Study("", "", ""),)}
    for name, rows in headers.items():
        known = zip(studies, cycle(rows), strict=False)
        written = (study._replace(sex=row.sex, view=row.view, age=row.age) for study, row in known)
        write_studies(written, root / name / "part-00000.parquet")
    return {name: root / name for name in headers}


def config(data: Path, out: Path, objectives: dict[str, dict[str, float]]) -> PretrainConfig:
    streams = Streams(images=[SetConfig(str(data), labels=False)], mix={"images": 6})
    options = {"steps": 3, "workers": 0, "log_every": 1, "checkpoint_every": 0, "precision": "fp32"}
    return PretrainConfig(out=str(out), data=streams, model=CONFIG, objectives=objectives, **options)


def test_images_without_a_label_train_by_their_headers_alone(sets: dict[str, Path], tmp_path: Path) -> None:
    run = pretrain(config(sets["known"], tmp_path / "run", {"image_attributes": {}}))
    assert [step["total"] > 0 and step["gradient_norm"] > 0 for step in run.curve] == [True] * 3
    tokenizer = XLIPModel.from_pretrained(tmp_path / "run").processor.tokenizer
    families = [[tokenizer(text)["input_ids"] for text in texts] for texts in attribute_families()]
    assert not any(tokenizer.unk_token_id in ids for texts in families for ids in texts)


def test_a_run_without_the_objective_never_reads_the_headers(sets: dict[str, Path], tmp_path: Path) -> None:
    runs = [pretrain(config(data, tmp_path / name, {"attmim": {}})) for name, data in sets.items()]
    assert [step["total"] for step in runs[0].curve] == [step["total"] for step in runs[1].curve]


def test_images_that_have_no_header_are_refused_before_training(sets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"found none in data\.pairs and data\.images"):
        pretrain(config(sets["empty"], tmp_path / "run", {"image_attributes": {}}))
    assert not (tmp_path / "run").exists()
