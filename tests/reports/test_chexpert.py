"""CheXpert's 14 labels from kinds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.reports.chexpert import CHEXPERT, NO_FINDING_LABEL, chexpert_labels
from xlip.reports.entities import kinds_of, tag
from xlip.study.kinds import kinds
from xlip.study.labels import ABSENT, PRESENT, UNCERTAIN

STATES = st.dictionaries(st.sampled_from(sorted(kinds())), st.sampled_from([PRESENT, ABSENT, UNCERTAIN]))


def test_fourteen_labels_of_known_kinds() -> None:
    assert len(CHEXPERT) == 14
    named = [kind for group in CHEXPERT.values() for kind in group]
    assert set(named) <= set(kinds())
    assert len(set(named)) == len(named)


@given(STATES)
def test_every_label_has_a_value_of_chexpert(states: dict[str, int]) -> None:
    labels = chexpert_labels(states)
    assert list(labels) == list(CHEXPERT)
    assert set(labels.values()) <= {1, 0, -1, None}
    assert labels[NO_FINDING_LABEL] in (1, None)
    if labels[NO_FINDING_LABEL] == 1:
        assert all(value not in (1, -1) for label, value in labels.items() if label not in FREE)


FREE = (NO_FINDING_LABEL, "Support Devices")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("No pneumothorax. Possible pneumonia.", {"Pneumothorax": 0, "Pneumonia": -1, NO_FINDING_LABEL: None}),
        ("Lobar consolidation.", {"Consolidation": 1, "Lung Opacity": 1}),
        ("Nodule in the left lung, no mass.", {"Lung Lesion": 1}),
        ("Normal chest. Pacemaker in place.", {NO_FINDING_LABEL: 1, "Support Devices": 1}),
        ("Mild scoliosis; lungs are clear.", {NO_FINDING_LABEL: 1, "Fracture": None}),
        ("The patient was rotated.", dict.fromkeys(CHEXPERT)),
        ("Pleural plaques. No rib fracture.", {"Pleural Other": 1, "Fracture": 0}),
        ("Edema. No airspace opacity.", {"Edema": 1, "Lung Opacity": 0}),
    ],
)
def test_labels_of_a_report(text: str, wanted: dict[str, int | None]) -> None:
    labels = chexpert_labels(kinds_of(text, tag(text)))
    assert {label: labels[label] for label in wanted} == wanted
