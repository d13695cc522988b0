from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tiny import tiny_model
from xlip import cli
from xlip.errors import XLIPError
from xlip.evaluate.zeroshot import evaluate_zero_shot
from xlip.export.publish import PushConfig, SaveConfig, push, save
from xlip.finetune.classifier import XLIPClassifier
from xlip.models.xlip import XLIPModel
from xlip.preparation.run import prepare
from xlip.results.folder import write_folder

TOKEN = "hf_secretsecretsecret"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "tiny"
    tiny_model().save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "_name_or_path": "/home/somebody/runs/tiny"}))
    return out


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "tuned"
    out.mkdir()
    XLIPClassifier.of(tiny_model(), ("Effusion", "Edema")).save_pretrained(out)
    return out


@dataclass
class FakeHub:
    """As much of `HfApi` as a push uses."""

    token: str
    private: ClassVar[bool] = True
    fault: ClassVar[Exception | None] = None
    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    files: ClassVar[dict[str, bytes]] = {}
    given: dict[str, Any] = field(default_factory=dict)

    def create_repo(self, repo: str, **options: Any) -> None:
        if self.fault:
            raise self.fault
        self.calls.append(("create", {"repo": repo, "token": self.token, **options}))

    def repo_info(self, repo: str) -> SimpleNamespace:
        return SimpleNamespace(private=self.private)

    def upload_folder(self, *, folder_path: str, **options: Any) -> str:
        self.files.update({file.name: file.read_bytes() for file in Path(folder_path).iterdir()})
        self.calls.append(("upload", options))
        return f"https://hub/{options['repo_id']}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    monkeypatch.setattr("huggingface_hub.HfApi", FakeHub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name, value in (("calls", []), ("files", {}), ("private", True), ("fault", None)):
        monkeypatch.setattr(FakeHub, name, value)
    return FakeHub


def test_a_saved_model_loads_without_code_of_its_folder(checkpoint: Path, tmp_path: Path) -> None:
    files = save(SaveConfig(str(checkpoint), str(tmp_path / "card")))
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in files}
    assert {file.suffix for file in files} <= {".md", ".json", ".safetensors"}  # neither code nor pickle
    for file in files:
        if file.suffix == ".json":
            assert "auto_map" not in file.read_text()
            assert str(tmp_path) not in file.read_text()
            assert "/home/somebody" not in file.read_text()
    own, again = (XLIPModel.from_pretrained(str(place)) for place in (checkpoint, tmp_path / "card"))
    assert (own.encode_text("effusion") == again.encode_text("effusion")).all()


def test_a_card_without_figures_says_so_and_one_with_them_shows_them(checkpoint: Path, tmp_path: Path) -> None:
    save(SaveConfig(str(checkpoint), str(tmp_path / "bare"), name="me/chest"))
    bare = (tmp_path / "bare" / "README.md").read_text()
    assert bare.startswith("---\n")
    assert "No evaluation was named" in bare
    assert 'from_pretrained("me/chest")' in bare
    prepare("phantom", Path(), tmp_path / "set", workers=0, options={"count": 24, "size": 64})
    result = evaluate_zero_shot(str(checkpoint), str(tmp_path / "set"), replicates=2, cache=False)
    write_folder(result, tmp_path / "result")
    save(SaveConfig(str(checkpoint), str(tmp_path / "measured"), str(tmp_path / "result")))
    assert "Macro AUROC" in (tmp_path / "measured" / "README.md").read_text()
    tiny_model(seed=1).save_pretrained(tmp_path / "other")
    with pytest.raises(XLIPError, match=r"an evaluation of the checkpoint .*, the model is"):
        save(SaveConfig(str(tmp_path / "other"), str(tmp_path / "wrong"), str(tmp_path / "result")))
    assert not (tmp_path / "wrong").exists()


def test_a_fine_tuned_classifier_is_saved_with_lines_that_load_it(tuned: Path, tmp_path: Path) -> None:
    save(SaveConfig(str(tuned), str(tmp_path / "saved")))
    assert "XLIPClassifier.from_pretrained" in (tmp_path / "saved" / "README.md").read_text()
    assert XLIPClassifier.from_pretrained(tmp_path / "saved").kinds == ("Effusion", "Edema")


def test_a_place_that_is_taken_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(XLIPError, match="is not empty"):
        save(SaveConfig(str(checkpoint), str(tmp_path)))
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_push_makes_a_private_repository_and_sends_the_layout(
    checkpoint: Path, hub: type[FakeHub], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push", "me/chest", "--model", str(checkpoint)]) == 0
    shown = "".join(capsys.readouterr())
    assert "pushed to https://hub/me/chest (private)" in shown
    assert TOKEN not in shown
    (_, made), (_, sent) = hub.calls
    assert made == {"repo": "me/chest", "token": TOKEN, "private": True, "exist_ok": True}
    assert sent["repo_id"] == "me/chest"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(hub.files)
    assert b"me/chest" in hub.files["README.md"]
    assert all(TOKEN.encode() not in content for content in hub.files.values())


def test_a_dry_run_sends_nothing_and_needs_no_token(
    checkpoint: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert cli.main(["push", "me/chest", "--model", str(checkpoint), "--dry-run"]) == 0
    assert hub.calls == []
    assert "nothing was sent" in capsys.readouterr().out
    with pytest.raises(XLIPError, match="no token"):
        push(PushConfig("me/chest", str(checkpoint)))


def test_a_private_model_does_not_go_to_a_public_repository(
    checkpoint: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHub, "private", False)
    with pytest.raises(XLIPError, match="me/chest is public"):
        push(PushConfig("me/chest", str(checkpoint)))
    assert hub.files == {}
    assert push(PushConfig("me/chest", str(checkpoint), public=True)).url


def test_no_fault_of_the_hub_shows_the_token(
    checkpoint: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHub, "fault", RuntimeError(f"401\nfor Bearer {TOKEN}"))
    with pytest.raises(XLIPError, match=r"the hub refused.*401 for Bearer \*\*\*") as caught:
        push(PushConfig("me/chest", str(checkpoint)))
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("repo", ["me/you/chest", "../chest", "me chest", ""])
def test_a_name_that_no_hub_takes_is_refused(repo: str, checkpoint: Path, hub: type[FakeHub]) -> None:
    with pytest.raises(XLIPError, match="expected OWNER/NAME"):
        push(PushConfig(repo, str(checkpoint)))
    assert hub.calls == []
