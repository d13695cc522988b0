"""Kinds from the MeSH tags that people gave to reports of Open-i, by the table `openi_tags.yaml`.

Which headings are mapped, and which are not: docs/reference/tagger.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from xlip.study.kinds import NO_FINDING
from xlip.study.labels import ABSENT, PRESENT, LabelState

NOT_INDEXED = "no indexing"
"""A tag that says that the report was not read."""


@cache
def tag_rules() -> tuple[dict[str, Any], ...]:
    """The rules of the table, in its order."""
    import yaml

    return tuple(yaml.safe_load(files("xlip.sources").joinpath("openi_tags.yaml").read_text("utf-8")))


def tagged_kinds() -> tuple[str, ...]:
    """Every kind that some rule names, sorted."""
    return tuple(sorted({rule["kind"] for rule in tag_rules() if rule["kind"]}))


def parts_of(tag: str) -> list[str]:
    """Heading and qualifiers of a tag, in lower case."""
    return [part.strip().lower() for part in tag.split("/")]


def applies(rule: Mapping[str, Any], parts: Sequence[str]) -> bool:
    """Whether a rule reads a tag of these parts."""
    rest = set(parts[1:])
    wanted, unwanted = set(rule.get("with", ())), set(rule.get("without", ()))
    return parts[0] in rule["heading"] and (not wanted or bool(wanted & rest)) and not unwanted & rest


def stated_by(tags: Sequence[str]) -> set[str]:
    """The kinds that the tags of one report stand for."""
    split = [parts_of(tag) for tag in tags]
    return {rule["kind"] for rule in tag_rules() for parts in split if rule["kind"] and applies(rule, parts)}


def labels_of(tags: Sequence[str]) -> dict[str, LabelState]:
    """Every kind of the table, present where a tag stands for it and absent where none does.

    People tagged what a report says, so what has no tag is taken as absent. Nothing is known of a report without a tag
    or one that was not indexed; 'normal' beside a finding leaves No_Finding unknown.
    """
    if not tags or any(NOT_INDEXED in tag.lower() for tag in tags):
        return {}
    stated = stated_by(tags)
    known: dict[str, LabelState] = {kind: PRESENT if kind in stated else ABSENT for kind in tagged_kinds()}
    if NO_FINDING in stated and len(stated) > 1:
        del known[NO_FINDING]
    return known
