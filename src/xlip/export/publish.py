"""`xlip save` and `xlip push`: a model in the layout of the Hugging Face hub, with its card; no remote code in it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlip.errors import XLIPError
from xlip.files import check_target, whole_folder, write_json, write_whole, writing
from xlip.finetune.classifier import CONFIG, WEIGHTS, XLIPClassifier, classifier_folder
from xlip.identity import checkpoint_id, file_id
from xlip.models.loading import load_checked
from xlip.pages.model_card import CLASSIFY, model_card
from xlip.pages.training_facts import training_facts
from xlip.pages.write import CARD, evaluation_page
from xlip.results.folder import read_result
from xlip.shipped import model_place

PLACES = ("_name_or_path", "name_or_path", "tokenizer_file")
"""Keys of `transformers` that say where a file lay on the machine of the training; they are not published."""


@dataclass(frozen=True)
class SaveConfig:
    """`xlip save`."""

    model: str
    """Folder of a run or a saved model, a hub id, or a folder that `xlip finetune` wrote."""
    out: str
    """Folder to write: weights, config, tokenizer and the model card README.md."""
    evaluation: str = ""
    """Folder of an evaluation of this model, whose figures go into the card."""
    name: str = ""
    """What the card calls the model; default: the folder's name."""


@dataclass(frozen=True)
class PushConfig:
    """`xlip push`."""

    repo: str
    """OWNER/NAME on the hub; made where it is not there yet."""
    model: str
    """Folder of a run or a saved model, or a folder that `xlip finetune` wrote."""
    evaluation: str = ""
    """Folder of an evaluation of this model, whose figures go into the card."""
    public: bool = False
    """Everybody may read it; else it is private. The terms of the training data may forbid it."""
    dry_run: bool = False
    """Say what would be sent; nothing is, and no token is needed."""
    message: str = "Upload by xlip push"
    """Message of the commit."""


@dataclass(frozen=True)
class Pushed:
    """What `push` sent, or would send."""

    files: dict[str, int]
    """Name -> bytes."""
    url: str


def save(config: SaveConfig) -> list[Path]:
    """Write the folder, whole or not at all; returns its files.

    `XLIPModel.from_pretrained` (or `XLIPClassifier`) loads it: no file in it is code or pickled.

    Raises:
        XLIPError: nothing usable at `config.model`, an evaluation of another model, or a place that is taken.
    """
    out = Path(config.out)
    check_target(out, folder=True)
    if out.is_dir() and any(out.iterdir()):
        raise XLIPError(f"{out}: is not empty; choose another --out")
    with writing(out), whole_folder(out) as partial:
        _fill(partial, config)
    return sorted(out.iterdir())


def push(config: PushConfig) -> Pushed:
    """Send a model with its card to the hub, by the token of the environment (`HF_TOKEN`) or of `hf auth login`.

    Raises:
        XLIPError: no name that the hub takes, no token, a repository that is public while `public` was not asked for,
            or whatever the hub answers; the token is in no message.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(config.repo)
    except HFValidationError as error:
        raise XLIPError(f"push: expected OWNER/NAME, got {config.repo!r} ({' '.join(str(error).split())})") from error
    token = None if config.dry_run else get_token()
    if token is None and not config.dry_run:
        raise XLIPError("push: no token for the hub; set HF_TOKEN, or run `hf auth login` (try --dry-run without one)")
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), SaveConfig(config.model, folder, config.evaluation, config.repo))
        files = {file.name: file.stat().st_size for file in sorted(Path(folder).iterdir())}
        if token is None:
            return Pushed(files, "")
        try:
            api: Any = HfApi(token=token)
            api.create_repo(config.repo, private=not config.public, exist_ok=True)
            if not config.public and not api.repo_info(config.repo).private:
                raise XLIPError(f"push: {config.repo} is public; name another, or add --public if all may read it")
            sent = api.upload_folder(repo_id=config.repo, folder_path=folder, commit_message=config.message)
        except XLIPError:
            raise
        except Exception as error:  # the hub's client, its transport and the network share no base class
            said = " ".join(str(error).split()).replace(token, "***")[:300]
            # `from None`: what the client raised may hold the request, with the token in its head.
            raise XLIPError(f"push: {config.repo}: the hub refused, or cannot be reached ({said})") from None
    return Pushed(files, str(sent))


def _fill(folder: Path, config: SaveConfig) -> None:
    tuned = classifier_folder(config.model)
    if tuned is not None:
        XLIPClassifier.from_pretrained(config.model).save_pretrained(folder)
        identity = file_id(tuned / WEIGHTS)
    else:
        load_checked(config.model).save_pretrained(folder)
        identity = checkpoint_id(config.model)
    for file in folder.glob("*.json"):
        _without_places(file)
    result = read_result(Path(config.evaluation)) if config.evaluation else None
    if result is not None and (found := result.identity["checkpoint"]) != identity:
        raise XLIPError(f"{config.evaluation}: an evaluation of the checkpoint {found}, the model is {identity}")
    points = evaluation_page(result)[1] if result is not None else None
    facts = training_facts(Path(model_place(config.model)))
    use = CLASSIFY if (folder / CONFIG).is_file() else ""
    card = model_card(result, points, name=config.name or Path(config.out).name, facts=facts, use=use)
    write_whole(folder / CARD, card.encode())


def _without_places(file: Path) -> None:
    found = json.loads(file.read_text("utf-8"))
    kept = {name: value for name, value in found.items() if name not in PLACES} if isinstance(found, dict) else found
    if kept != found:
        write_json(file, kept)
