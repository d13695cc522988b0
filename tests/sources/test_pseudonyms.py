"""Identifiers leave as keyed hashes: equal under one key, unlike under another, and of no use without it."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlip.errors import XLIPError
from xlip.sources.pseudonyms import LONGEST_SHIFT, Private, Pseudonyms, lookup, make_key


def of_key(folder: Path, text: str, **options: bool) -> Pseudonyms:
    (folder / f"{text[:4]}.key").write_text(text)
    return Pseudonyms(Private(folder / f"{text[:4]}.key", **options))


def test_a_pseudonym_is_the_hmac_under_the_key_and_depends_on_the_kind(tmp_path: Path) -> None:
    one, other = of_key(tmp_path, "a" * 32), of_key(tmp_path, "b" * 32)
    expected = hmac.new(b"a" * 32, b"patient\nMRN1", hashlib.sha256).hexdigest()[:20]
    assert one.of("patient", " mrn1 ") == one.of("patient", "MRN1") == expected
    assert len({one.of("patient", "MRN1"), one.of("accession", "MRN1"), other.of("patient", "MRN1")}) == 3
    assert one.of("patient", "  ") == ""


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_values_have_one_pseudonym_only_where_they_are_the_same_but_for_case_and_space(a: str, b: str) -> None:
    names = Pseudonyms(None)
    same = " ".join(a.upper().split()) == " ".join(b.upper().split())
    assert (names.of("x", a) == names.of("x", b)) == same


def test_all_days_of_a_patient_move_by_the_same_number_of_days(tmp_path: Path) -> None:
    names = of_key(tmp_path, "c" * 32)
    first, second = date(2020, 1, 1), date(2021, 6, 30)
    moved = names.shifted("p", first), names.shifted("p", second)
    assert moved[1] - moved[0] == second - first
    assert 1 <= (first - moved[0]).days <= LONGEST_SHIFT
    assert len({(first - names.shifted(str(number), first)).days for number in range(50)}) > 30


def test_a_key_is_made_once_is_private_and_is_read_again(tmp_path: Path) -> None:
    key = tmp_path / "new" / "set.key"
    first = Pseudonyms(Private(key, make=True)).of("patient", "1")
    assert key.stat().st_mode & 0o777 == 0o600
    written = key.read_bytes()
    make_key(key)
    assert key.read_bytes() == written
    assert Pseudonyms(Private(key)).of("patient", "1") == first
    assert list(key.parent.iterdir()) == [key]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot read the key file"), ("short", "at least 16 bytes, got 5")]
)
def test_a_named_key_that_cannot_serve_is_refused(content: str | None, said: str, tmp_path: Path) -> None:
    if content:
        (tmp_path / "key").write_text(content)
    with pytest.raises(XLIPError, match=said):
        Pseudonyms(Private(tmp_path / "key")).of("patient", "1")
    with pytest.raises(XLIPError, match="no key is made beside a URL"):
        Pseudonyms(Private(None)).of("patient", "1")


def test_the_list_that_leads_back_is_private_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "set.lookup.csv"
    with lookup(target) as names:
        names.add("patient", "abc", "MRN1")
        names.add("patient", "abc", "MRN1")
        names.add("patient", "def", "")
    assert target.read_text("utf-8").splitlines() == ["kind,pseudonym,value", "patient,abc,MRN1"]
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError), lookup(target) as names:
        names.add("patient", "ghi", f"MRN{1 // 0}")
    assert "ghi" not in target.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [target]
