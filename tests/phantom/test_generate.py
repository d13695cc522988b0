from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from xlip.errors import XLIPError
from xlip.phantom import PHANTOM_KINDS, Phantom, generate
from xlip.phantom.findings import CLASHES, RULES, SEVERITIES
from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT

SHOWN = [generate(index, size=64) for index in range(300)]


def digest(phantom: Phantom) -> str:
    masks = b"".join(finding.mask.tobytes() for finding in phantom.findings)
    words = repr((phantom.report, phantom.labels, phantom.entities, phantom.patient_id)).encode()
    return hashlib.sha256(phantom.pixels.tobytes() + masks + words).hexdigest()


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from test_generate import digest
from xlip.phantom import generate
print(*(digest(generate(index, seed=5, size=96)) for index in range(8)))
"""


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    here = [digest(generate(index, seed=5, size=96)) for index in range(8)]
    assert here == [digest(generate(index, seed=5, size=96)) for index in range(8)]
    folder = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", PROGRAM, folder], capture_output=True, text=True)
    assert done.stdout.split() == here, done.stderr


def test_another_seed_or_index_gives_another_phantom() -> None:
    assert len({digest(generate(index, seed=seed, size=64)) for index in range(5) for seed in range(5)}) == 25


@pytest.mark.parametrize("size", [64, 97, 512])
def test_any_size_in_the_range_is_drawn_with_the_same_report_and_findings(size: int) -> None:
    phantom, small = generate(7, size=size), SHOWN[7]
    assert phantom.pixels.shape == (size, size)
    assert phantom.pixels.dtype == np.uint8
    assert phantom.report == small.report
    assert [(f.kind, f.side, f.severity) for f in phantom.findings] == [
        (f.kind, f.side, f.severity) for f in small.findings
    ]


@pytest.mark.parametrize("size", [0, 63, 513])
def test_sizes_outside_the_range_are_refused(size: int) -> None:
    with pytest.raises(XLIPError, match=f"64 to 512 pixels, got {size}"):
        generate(0, size=size)


@pytest.mark.parametrize("kind", PHANTOM_KINDS)
def test_every_kind_appears_with_mask_side_place_and_severity(kind: str) -> None:
    findings = [finding for phantom in SHOWN for finding in phantom.findings if finding.kind == kind]
    rule = RULES[kind]
    assert len(findings) >= 10
    assert all(f.mask.dtype == bool and f.mask.shape == (64, 64) for f in findings)
    assert all(f.mask.any() and not f.mask.all() for f in findings)
    assert {f.side for f in findings} == ({"left", "right"} if rule.has_side else {""})
    assert {f.place for f in findings} == (set(rule.places) or {""})
    assert {f.severity for f in findings} == set(SEVERITIES)


def test_labels_agree_with_the_findings() -> None:
    for phantom in SHOWN:
        present = {finding.kind for finding in phantom.findings}
        assert set(phantom.labels) == {*PHANTOM_KINDS, NO_FINDING}
        assert {kind for kind, state in phantom.labels.items() if state == PRESENT} == (present or {NO_FINDING})
        assert set(phantom.labels.values()) == {PRESENT, ABSENT}
        assert not any(group <= present for group in CLASHES)
    normal = sum(phantom.labels[NO_FINDING] == PRESENT for phantom in SHOWN) / len(SHOWN)
    assert 0.2 < normal < 0.4


def centre_column(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[1].mean())


@pytest.mark.parametrize("kind", [kind for kind in PHANTOM_KINDS if RULES[kind].has_side])
def test_the_patients_left_is_the_right_half_of_the_image(kind: str) -> None:
    for phantom in SHOWN:
        for finding in phantom.findings:
            if finding.kind == kind:
                side = "left" if centre_column(finding.mask) > 31.5 else "right"
                assert side == finding.side


def test_an_effusion_whitens_the_half_of_the_image_where_it_lies() -> None:
    alone = [
        (phantom, phantom.findings[0])
        for phantom in SHOWN
        if [f.kind for f in phantom.findings] == ["Effusion"] and phantom.findings[0].severity != "mild"
    ]
    assert {finding.side for _, finding in alone} == {"left", "right"}
    for phantom, finding in alone:
        mirrored = finding.mask[:, ::-1]
        assert phantom.pixels[finding.mask].mean() > phantom.pixels[mirrored].mean()
