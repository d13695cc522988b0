"""Many evaluations on one page: which are compared, by what, and why the others are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from browser import look, needs_browser
from evaluations import IDENTITY, predictions, result
from xlip.cli import main
from xlip.errors import XLIPError
from xlip.metrics.comparison import paired_bootstrap
from xlip.pages.leaderboard import leaderboard_page
from xlip.results.classification import classification_figures
from xlip.results.figures import RetrievalFigures, ZeroShotFigures
from xlip.results.folder import write_folder
from xlip.results.leaderboard import Leaderboard, LeaderboardConfig, leaderboard
from xlip.results.result import Predictions, Result

BLIND = np.random.default_rng(9).random((80, 4))


def evaluated(test: Predictions, **identity: str) -> Result:
    figures = classification_figures(test, ZeroShotFigures, replicates=5)
    return Result("zeroshot", {**IDENTITY, **identity}, figures, test)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, test = tmp_path_factory.mktemp("runs"), predictions()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(test.study_ids))
    turned = replace(
        test,
        study_ids=tuple(test.study_ids[row] for row in order),
        patients=test.patients[order],
        labels=test.labels[order],
        scores=np.clip(0.9 * test.scores[order] + 0.1 * rng.random(test.scores.shape), 0, 1),
        groups={},
    )
    blind = replace(test, scores=BLIND)
    fewer = replace(test, kinds=test.kinds[:2], labels=test.labels[:, :2], scores=test.scores[:, :2])
    wrong = test.labels.copy()
    wrong[0, 0] = 1 - wrong[0, 0]
    made = {
        "a/good": evaluated(test),
        "a/near": evaluated(turned, checkpoint="<b>near</b>"),
        "b/blind": evaluated(blind),
        "fewer": evaluated(fewer),
        "mislabelled": evaluated(replace(test, labels=wrong)),
        "elsewhere": evaluated(test, split="other:80:ffffffffffff"),
    }
    for name, one in made.items():
        write_folder(one, root / name)
    return root


@pytest.fixture(scope="module")
def found(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return leaderboard(LeaderboardConfig([str(runs)], str(tmp_path_factory.mktemp("out")), replicates=200))


def test_only_the_same_cases_kinds_and_truth_stand_on_one_board(found: Leaderboard) -> None:
    (board,) = found.boards
    assert {one.folder for one in board.entries} == {"a/good", "a/near", "b/blind"}
    areas = [one.macro_auroc for one in board.entries]
    assert areas == sorted(areas, reverse=True)
    reasons = {one.folder: one.reason for one in found.apart}
    assert reasons == {
        "fewer": "other kinds than the board of its split: lacks Pleural_Thickening",
        "mislabelled": "the same studies with other labels or patients than the board of its split: evaluate again",
        "elsewhere": "no other evaluation is of this split",
    }


def test_differences_are_paired_by_study_whatever_the_order_of_the_files(found: Leaderboard) -> None:
    (board,) = found.boards
    first, *_, last = board.entries
    assert first.against_best is None
    assert last.folder == "b/blind"
    assert last.worse
    gap = last.against_best
    assert gap.difference == pytest.approx(last.macro_auroc - first.macro_auroc)
    near = next(one for one in board.entries if one.folder == "a/near")
    assert not near.worse
    wide = near.macro_ci95[1] - near.macro_ci95[0]
    if near.against_best:  # the same cases: the difference is known far better than either figure
        assert near.against_best.ci95[1] - near.against_best.ci95[0] < wide
    good, columns = predictions(), [0, 1, 2]
    order = np.argsort(np.array(good.study_ids), kind="stable")
    if first.folder == "a/good":
        scores = (BLIND[order][:, columns], good.scores[order][:, columns])
        patients = np.array([str(one) for one in good.patients[order]])
        naive = paired_bootstrap(good.labels[order][:, columns], *scores, patients, replicates=200)
        assert gap.ci95 == pytest.approx(naive.macro.ci95)


def test_evaluations_without_scores_of_kinds_stand_apart(runs: Path, tmp_path: Path) -> None:
    one = {"recall": {}, "median_rank": 3.0, "kind_precision": {}, "kind_precision_by_chance": 0.1, "candidates": 5}
    figures = RetrievalFigures(images=5, distinct_reports=5, image_to_text=one, text_to_image=one)
    write_folder(Result("retrieval", IDENTITY, figures), tmp_path / "r" / "retrieval")
    write_folder(result(), tmp_path / "r" / "zero")
    made = leaderboard(LeaderboardConfig([str(tmp_path / "r")], str(tmp_path / "out"), replicates=5))
    assert made.boards == ()
    assert {one.folder: one.reason for one in made.apart}[
        "retrieval"
    ] == "retrieval has no scores of kinds to compare by"
    assert "No two evaluations may be compared" in leaderboard_page(made).html()


def test_what_cannot_be_read_is_named(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(XLIPError, match=r"nowhere: no such folder"):
        leaderboard(LeaderboardConfig([str(tmp_path / "nowhere")], str(tmp_path / "out")))
    with pytest.raises(XLIPError, match=r"no metrics\.json at any depth"):
        leaderboard(LeaderboardConfig([str(tmp_path)], str(tmp_path / "out")))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.json").write_text('{"schema_version": 99}')
    with pytest.raises(XLIPError, match=r"a/metrics\.json: schema version 99"):
        leaderboard(LeaderboardConfig([str(tmp_path)], str(tmp_path / "out")))


def test_the_command_writes_page_and_json_and_the_page_needs_no_script(runs: Path, tmp_path: Path, capsys) -> None:
    assert main(["leaderboard", str(runs / "a"), str(runs / "b"), "--replicates", "5", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "look at" in shown
    told = json.loads((tmp_path / "leaderboard.json").read_text(), parse_constant=pytest.fail)
    assert Leaderboard.model_validate(told).schema_version == 1
    page = (tmp_path / "leaderboard.html").read_text("utf-8")
    assert page.count("<script") == 1
    assert "<b>near</b>" not in page
    assert "//" not in page.split("<script>")[1].split("</script>")[0].replace("// A number", "")
    rows = page.split('class="sortable"')[1].split("</table>")[0]
    assert rows.index("blind") > rows.index("good")


@needs_browser
def test_a_click_on_a_heading_sorts_the_rows(found: Leaderboard, tmp_path: Path) -> None:
    leaderboard_page(found).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    press = "document.querySelectorAll('th button')[1].click();"
    click = f"<script>{press * 2}</script>"
    (tmp_path / "clicked.html").write_text(text.replace("</body>", click + "</body>"), "utf-8")
    before, after = (look(tmp_path / name, tmp_path).text for name in ("page.html", "clicked.html"))
    table = [part.split("Not compared")[-2].rsplit("evaluation", 1)[-1] for part in (before, after)]
    assert table[0].index("b/blind") > table[0].index("a/good")
    assert table[1].index("b/blind") < table[1].index("a/good")
