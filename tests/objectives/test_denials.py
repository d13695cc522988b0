"""Denials against images: which are contradicted, and what the losses make of that, against naive loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny import context_of, tiny_batch, tiny_model
from xlip.batches.denials import Denial, denials_in, drawn_denial
from xlip.objectives.contrastive import Contrastive
from xlip.objectives.denial_contrast import DenialContrast
from xlip.objectives.denials import Denials, rivals, truth_of_denials
from xlip.objectives.kind_contrast import KindContrast
from xlip.objectives.registry import reads_denials
from xlip.phantom import generate
from xlip.reports.entities import tag
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN
from xlip.study.record import Study


def said(report: str) -> list[tuple[str, set[str]]]:
    study = Study("s", "p", "x", report=report, entities=tag(report))
    return [(one.text, set(one.kinds)) for one in denials_in(study)]


def test_sentences_that_only_deny_are_found_with_what_they_deny() -> None:
    report = "Small left effusion, no pneumothorax. No pneumonia or edema. The heart size is normal. Possible mass."
    assert said(report) == [
        ("No pneumonia or edema.", {"Pneumonia", "Edema"}),
        ("The heart size is normal.", {"Cardiomegaly"}),
    ]
    assert said("No effusion of 1.5 cm is seen.\nNo pneumothorax") == [
        ("No effusion of 1.5 cm is seen.", {"Effusion"}),
        ("No pneumothorax", {"Pneumothorax"}),
    ]
    assert said("") == said("The trachea is midline.") == []


@pytest.mark.parametrize("seed", range(30))
def test_no_phantom_report_denies_what_its_image_shows(seed: int) -> None:
    """The grammar never denies a finding, so every sentence taken for a denial must be true of its image."""
    phantom = generate(seed, size=64)
    study = Study("s", "p", "x", report=phantom.report, entities=tag(phantom.report))
    for one in denials_in(study):
        assert all(phantom.labels.get(kind, ABSENT) == ABSENT for kind in one.kinds), one


def test_a_draw_is_one_of_the_report_and_denies_known_kinds_alone() -> None:
    report = "No pneumonia. No effusion or edema. No mass."
    study = Study("s", "p", "x", report=report, entities=tag(report))
    rng = np.random.default_rng(0)
    drawn = {drawn_denial(study, ["Pneumonia", "Effusion", "Mass"], rng).text for _ in range(40)}
    assert drawn == {"No pneumonia.", "No mass."}
    assert drawn_denial(study, ["Hernia"], rng) is None


@given(st.integers(0, 2**32 - 1))
def test_truth_of_denials_equals_the_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts, images, kinds = rng.integers(1, 5), rng.integers(1, 5), rng.integers(1, 6)
    denied = rng.random((texts, kinds)) < 0.4
    denied[~denied.any(1), 0] = True  # a denial denies something
    targets = rng.integers(-1, 2, (images, kinds))
    found = truth_of_denials(torch.tensor(denied), torch.tensor(targets))
    for image in range(images):
        for text in range(texts):
            states = targets[image][denied[text]]
            expected = 0 if (states == 1).any() else 1 if (states == 0).all() else -1
            assert int(found[image, text]) == expected


def loop(scores: np.ndarray, truth: np.ndarray) -> tuple[float, int]:
    """-1/|T| sum over true items of log(e^s / (e^s + sum over false items)), rows with a true item."""
    total, rows = 0.0, 0
    for score, state in zip(scores, truth, strict=True):
        wanted, wrong = score[state == 1], np.exp(score[state == 0]).sum()
        if len(wanted):
            total, rows = total + np.mean(-np.log(np.exp(wanted) / (np.exp(wanted) + wrong))), rows + 1
    return total, rows


def test_the_contrast_of_denials_equals_the_naive_loops_both_ways() -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model, 5, 5, 0)
    batch.image_labels[0] = torch.tensor([UNCERTAIN, -1, PRESENT, ABSENT], dtype=torch.int8)
    context = context_of(model, batch, DenialContrast())
    every = Denials.own(context)
    images, texts = (one.detach().double().numpy() for one in (context.images.embedding, every.texts))
    assert len(texts) == 2 * len(batch.kinds) + 1  # negative prompts, denials by name, a sentence
    scores = float(model.logit_scale_exp().detach()) * images @ texts.T
    labels = batch.image_labels.clone().masked_fill(batch.image_labels == UNCERTAIN, -1)
    truth = truth_of_denials(every.denied, labels).numpy()
    assert set(truth[0].tolist()) == {-1, 0, 1}
    (by_image, images_counted), (by_text, texts_counted) = loop(scores, truth), loop(scores.T, truth.T)
    term = DenialContrast()(context)
    assert float(term.total.detach()) == pytest.approx(by_image + by_text, rel=1e-4)
    assert float(term.count) == images_counted + texts_counted


def test_it_teaches_each_denial_alone_across_the_images() -> None:
    """The gradient lifts a denial's cosine with an image it is true of and lowers it with one that contradicts it."""
    model = tiny_model().eval()
    batch = tiny_batch(model, 0, 2, 0)
    labels = torch.full_like(batch.image_labels, -1)
    labels[0, 0], labels[1, 0] = PRESENT, ABSENT
    context = context_of(model, replace(batch, image_labels=labels), DenialContrast())
    embedding = context.images.embedding.detach().requires_grad_()
    moved = replace(context, images=replace(context.images, embedding=embedding))
    DenialContrast()(moved).total.backward()
    denial = context.texts["denials"].embedding[0].detach()
    towards = -(embedding.grad @ denial)
    assert towards[0] < 0 < towards[1]


@pytest.mark.parametrize(
    ("objective", "plain"), [(Contrastive(denials=True), Contrastive()), (KindContrast(denials=True), KindContrast())]
)
def test_hard_negatives_raise_the_loss_of_contradicted_images_alone(objective, plain) -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model, 6, 0, 0)
    some = context_of(model, batch, objective)
    assert float(objective(some).total.detach()) > float(plain(context_of(model, batch, plain)).total.detach())
    absent = replace(batch, image_labels=torch.full_like(batch.image_labels, -1))
    none = context_of(model, absent, objective)  # nothing is known to be present, so nothing is contradicted
    expected = float(plain(context_of(model, absent, plain)).total.detach())
    assert float(objective(none).total.detach()) == pytest.approx(expected, rel=1e-5)


def test_rivals_are_the_contradicted_denials_of_each_image() -> None:
    model = tiny_model().eval()
    batch = tiny_batch(model, 4, 2, 0)
    context = context_of(model, batch, DenialContrast())
    targets = batch.targets(batch.image_labels, "ignore")
    found = rivals(context, context.images.embedding, targets).detach()
    every = Denials.own(context)
    for image, value in enumerate(found):
        false = truth_of_denials(every.denied, targets[image : image + 1])[0] == ABSENT
        logits = model.logit_scale_exp() * every.texts[false] @ context.images.embedding[image]
        expected = float(logits.logsumexp(0).detach()) if false.any() else -1e4
        assert float(value) == pytest.approx(expected, rel=1e-3)


def test_denials_are_made_only_where_an_objective_reads_them() -> None:
    assert not reads_denials({"contrastive": {}, "kind_contrast": None})
    assert reads_denials({"denial_contrast": {}})
    assert reads_denials({"contrastive": {"denials": True}})
    assert not reads_denials({"contrastive": {"denials": False}})
    assert Denial("No mass.", frozenset({"Mass"})).kinds == {"Mass"}
