"""Keys: read strictly, compared in constant time, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlip.errors import XLIPError
from xlip.serve import tokens
from xlip.serve.config import ServeConfig
from xlip.serve.problems import RequestError
from xlip.serve.run import check_safe
from xlip.serve.tokens import Tokens, load_tokens

LONG, OTHER = "first-token-of-some-length", "other-token-of-some-length"


def test_keys_come_from_file_and_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"# wards\nward-1: {LONG}\n\n")
    monkeypatch.setenv(tokens.VARIABLE, f"ward-2:{OTHER}")
    found = load_tokens(str(tmp_path / "keys"))
    assert [found.key_id(f"Bearer {token}") for token in (LONG, OTHER)] == ["ward-1", "ward-2"]
    for wrong in (None, "", "Bearer ", f"Bearer {LONG}x", f"Bearer {LONG[:-1]}", f"Basic {LONG}", "Bearer é"):
        with pytest.raises(RequestError, match="unauthorized"):
            found.key_id(wrong)


def test_every_key_is_compared_whatever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    keys = Tokens({"a": LONG, "b": OTHER})
    assert keys.key_id(f"Bearer {LONG}") == "a"
    with pytest.raises(RequestError):
        keys.key_id("Bearer x")
    assert compared == [(32, 32)] * 4


@pytest.mark.parametrize(
    "text", ["", "no colon", f"a b:{LONG}", "a:short", f"a:{LONG}\na:{OTHER}", f"a:{LONG}\nb:{LONG}", f":{LONG}"]
)
def test_a_file_that_is_no_list_of_keys_is_refused_without_showing_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(XLIPError) as refused:
        load_tokens(str(tmp_path / "keys"))
    assert LONG not in str(refused.value)
    assert "keys" in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "films.example", ""])
def test_an_address_that_others_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(XLIPError, match="tokens"):
        check_safe(ServeConfig(model="x", host=host), Tokens({}))
    check_safe(ServeConfig(model="x", host=host), Tokens({"a": LONG}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machines_own_address_needs_none(host: str) -> None:
    config = ServeConfig(model="x", host=host)
    check_safe(config, Tokens({}))
    assert "localhost" in config.allowed_hosts


@pytest.mark.parametrize(
    "options", [{"queue": 0}, {"timeout": 0}, {"port": 70000}, {"max_mb": 600}, {"max_megapixels": float("nan")}]
)
def test_options_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(XLIPError, match=next(iter(options))):
        ServeConfig(model="x", **options)  # type: ignore[arg-type]
