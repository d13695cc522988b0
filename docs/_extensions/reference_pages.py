"""Pages of the reference as Markdown, made from the source: commands, settings, kinds, prompts, schemas, API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataclass_fields import configs, described, objectives

import xlip

ROOT = Path(xlip.__file__).parent
NOTE = "<!-- Written from the source each time the site is built; changes belong there. -->\n\n"
OBJECTIVE_FIELDS = {"weight": "What the term is multiplied by in the total."}
SKIPPED = {"cli"}
"""Rooms that nobody imports: the command line has a page of its own."""


def pages() -> dict[str, str]:
    """Every generated page: its path below `docs/reference/generated`, and its text."""
    made = {
        "cli.md": cli_page(),
        "config.md": config_page(),
        "kinds.md": kinds_page(),
        "prompts.md": prompts_page(),
        "schemas.md": schemas_page(),
        "parquet.md": parquet_page(),
        "api/index.md": api_index(),
        **{f"api/{room}.md": room_page(room, modules) for room, modules in rooms().items()},
    }
    return {name: NOTE + text for name, text in made.items()}


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table; bars and line breaks within cells are taken care of."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """As code, where there is anything."""
    return f"`` {text} ``" if "`" in text else f"`{text}`" if text else ""


def cli_page() -> str:
    """Every command with its options, from its parser."""
    from xlip.cli.commands import COMMANDS
    from xlip.cli.examples import EXAMPLES

    links = ([f"[`{name}`](#xlip-{name.replace(' ', '-')})", entry.help] for name, entry in COMMANDS.items())
    lines = [
        "# Commands\n",
        "Every command with its options, from its parser; `xlip COMMAND --help` prints the same. What holds for all of "
        "them (exit codes, `--config`, `--json`): [command line](../command_line.md).\n",
        table(["command", "what it does"], links),
    ]
    for name, entry in COMMANDS.items():
        lines += [f"## xlip {name}\n", f"{entry.help[0].upper()}{entry.help[1:]}.\n", *options(name)]
        if examples := EXAMPLES.get(name):
            lines += ["```sh", *examples, "```\n"]
    return "\n".join(lines)


def options(name: str) -> Iterator[str]:
    """The options of a command: how it is called, and a table."""
    from dataclass_fields import type_name

    from xlip.cli.parse import parser_of

    parser, _ = parser_of(name)
    rows = []
    usage = [f"xlip {name}"]
    for action in parser._actions:
        flag = next((word for word in action.option_strings if word.startswith("--")), action.dest)
        if (
            flag in ("--help", "--print_config")
            or flag.endswith(".help")
            or type(action).__name__ == "_ActionConfigLoad"
        ):
            continue
        if not action.option_strings:
            usage.append(f"{action.dest.upper()}{' ...' if action.nargs == '+' else ''}")
        hint = getattr(action, "_typehint", None) or action.type
        default = "" if action.default in (None, "==SUPPRESS==") else json.dumps(action.default, default=str)
        needed = " (needed)" if getattr(action, "required", False) else ""
        rows.append([code(flag), code(type_name(hint)) if hint else "", code(default), (action.help or "") + needed])
    yield f"```text\n{' '.join(usage)} [OPTIONS]\n```\n"
    yield table(["option", "type", "default", "what it is"], rows)


def config_page() -> str:
    """Every config dataclass and every field of it."""
    lines = [
        "# Settings\n",
        "Every command takes one frozen dataclass; its fields are the options of the command line "
        "and the keys of a file for "
        "`--config`. A field that is a dataclass itself has a section of its own: `data.mix` is the field `mix` of "
        "`Streams`.\n",
    ]
    for cls, commands in sorted(configs().items(), key=lambda pair: pair[0].__name__):
        lines += [
            f"## {cls.__name__}\n",
            f"`{cls.__module__}.{cls.__name__}`, for {', '.join(f'`xlip {name}`' for name in commands)}.\n",
        ]
        lines.append(_fields(cls))
    lines += [
        "## Objectives\n",
        "The options under `objectives.NAME` of `xlip pretrain`. `weight` multiplies the term.\n",
    ]
    for name, cls in sorted(objectives().items()):
        lines += [
            f"### {name}\n",
            f"`{cls.__module__}.{cls.__name__}`: {_first(cls.__doc__)}\n",
            _fields(cls, but="name"),
        ]
    return "\n".join(lines)


def _fields(cls: type, *, but: str = "") -> str:
    rows = [
        [code(item.name), code(item.type), code(item.default), item.says or OBJECTIVE_FIELDS.get(item.name, "")]
        for item in described(cls)
        if item.name != but
    ]
    return table(["field", "type", "default", "what it is"], rows)


def _first(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def kinds_page() -> str:
    """Every kind with its phrase and the other names that are understood."""
    from xlip.study.kinds import kinds

    lead = (
        "# Kinds\n\nA kind is a disease or another thing that a film shows. Data sets name them "
        "differently; every name here is "
        "understood wherever a kind may stand, whatever its case, spaces, hyphens and underscores. "
        "A kind that leaves the "
        "question of `No_Finding` open is marked: a chest with a device may still be free of disease.\n\n"
    )
    rows = [
        [code(kind.id), kind.name, ", ".join(kind.aliases), "yes" if kind.incidental else ""]
        for kind in kinds().values()
    ]
    return f"{lead}{len(rows)} kinds, from `xlip/study/kinds.yaml`.\n\n" + table(
        ["kind", "phrase in prompts", "other names", "leaves `No_Finding` open"], rows
    )


def prompts_page() -> str:
    """Every prompt set, template by template."""
    import yaml

    raw = yaml.safe_load(files("xlip.study").joinpath("prompts.yaml").read_text("utf-8"))
    lines = [
        "# Prompts\n",
        "A prompt set says in which texts a kind is stated and denied. `{}` stands for a phrase of "
        "the kind: its name, or each "
        "of its synonyms. How texts become a score: [protocols](../../protocols.md).\n",
    ]
    for name, entry in raw["sets"].items():
        lines += [f"## {name}\n", f"Version {entry['version']}; printed as `{name}@{entry['version']}`.\n"]
        lines.append(table(["states", "denies"], [[_texts(entry.get("positive")), _texts(entry.get("negative"))]]))
        if entry.get("slots"):
            lines.append(
                table(["slot", "words"], ([code(slot), _texts(words)] for slot, words in entry["slots"].items()))
            )
        if entry.get("kinds"):
            rows = (
                [code(kind), _texts(pair.get("positive")), _texts(pair.get("negative"))]
                for kind, pair in entry["kinds"].items()
            )
            lines += ["A pair of its own:\n", table(["kind", "states", "denies"], rows)]
        if entry.get("normal_share"):
            lines.append(
                f"Of the texts that deny a kind, {entry['normal_share']:.0%} are sentences of a normal "
                "region (below).\n"
            )
    lines += [
        "## Synonyms\n",
        table(["kind", "phrases"], ([code(kind), _texts(words)] for kind, words in raw["synonyms"].items())),
    ]
    lines += [
        "## Sentences of a normal region\n",
        table(
            ["kind that they deny", "sentences"], ([code(kind), _texts(words)] for kind, words in raw["normal"].items())
        ),
    ]
    return "\n".join(lines)


def _texts(texts: list[str] | None) -> str:
    return "; ".join(f"'{text}'" if text else "''" for text in texts or [])


def schemas_page() -> str:
    """The JSON files of an evaluation, field by field."""
    lines = [
        "# JSON schemas\n",
        "Evaluations write JSON files of typed figures. The schemas are made from the same classes "
        "(`xlip.results`), so a file "
        "that `xlip` writes follows them, and a file that does not is refused with the field's name.\n",
    ]
    for file in sorted(ROOT.joinpath("results").glob("*.schema.json")):
        schema = json.loads(file.read_text("utf-8"))
        name = file.name.removesuffix(".schema.json")
        lines += [
            f"## {name}.json\n",
            f"The schema: {{download}}`{file.name} <../../../src/xlip/results/{file.name}>`.\n",
        ]
        if schema.get("description"):
            lines.append(f"{_first(schema['description'])}\n")
        forms = schema.get("oneOf") or [schema]
        for form in forms:
            title = form.get("title") or form.get("$ref", "").rpartition("/")[2]
            form = schema["$defs"].get(title, form) if "$ref" in form else form
            if len(forms) > 1:
                lines.append(f"### {name}.json of {title}\n")
                lines.append(f"{_first(form.get('description'))}\n")
            lines.append(_properties(form))
        shown = {form.get("title") for form in forms} | {form.get("$ref", "").rpartition("/")[2] for form in forms}
        for title, form in schema["$defs"].items():
            if title not in shown:
                lines += [f"### {title} ({name}.json)\n", f"{_first(form.get('description'))}\n", _properties(form)]
    return "\n".join(lines)


def _properties(form: dict[str, Any]) -> str:
    needed = set(form.get("required", ()))
    rows = [
        [code(name), _type(item), "" if name in needed else "may be missing", item.get("description", "")]
        for name, item in form.get("properties", {}).items()
    ]
    return table(["field", "type", "", "what it is"], rows)


def _type(item: dict[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "$ref" in item:
        return item["$ref"].rpartition("/")[2]
    if "const" in item:
        return code(json.dumps(item["const"]))
    if "enum" in item:
        return ", ".join(code(json.dumps(value)) for value in item["enum"])
    if "anyOf" in item:
        return " or ".join(_type(one) for one in item["anyOf"])
    if item.get("type") == "array":
        if "prefixItems" in item:
            return f"[{', '.join(_type(one) for one in item['prefixItems'])}]"
        return f"list of {_type(item.get('items', {}))}"
    if item.get("type") == "object" and isinstance(item.get("additionalProperties"), dict):
        return f"text: {_type(item['additionalProperties'])}"
    bounds = [f"{word} {item[key]}" for word, key in (("from", "minimum"), ("to", "maximum")) if key in item]
    return " ".join([item.get("type", "anything"), *bounds])


def parquet_page() -> str:
    """The columns of a prepared set."""
    from xlip.study.parquet import SCHEMA_VERSION, schema

    rows = [[code(field.name), code(re.sub(r"element: |item: ", "", str(field.type)))] for field in schema()]
    return (
        f"# Columns of a prepared set\n\nVersion {SCHEMA_VERSION} of the Parquet schema "
        "(`xlip.study.parquet.schema`). What each "
        "column holds: [file formats](../formats.md).\n\n" + table(["column", "Arrow type"], rows)
    )


def rooms() -> dict[str, list[str]]:
    """Room -> its public modules, in the order of their names."""
    found: dict[str, list[str]] = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT.parent).with_suffix("").parts
        if parts[-1] == "__main__" or any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        room = parts[1] if len(parts) > 2 else "others"
        if module != "xlip" and room not in SKIPPED and (parts[-1] != "__init__" or _has_names(file)):
            found.setdefault(room, []).append(module)
    return found


def _has_names(file: Path) -> bool:
    return len(file.read_text("utf-8").splitlines()) > 8


def room_page(room: str, modules: list[str]) -> str:
    """One room of the source: every public name of it."""
    import ast

    package = ROOT / room / "__init__.py"
    says = ast.get_docstring(ast.parse(package.read_text("utf-8"))) if package.exists() else ""
    title = f"xlip.{room}" if package.exists() else "Modules that stand alone"
    lines = [f"# {title}\n", f"{says or ''}\n"]
    for module in modules:
        inner = ", ".join(name.removeprefix(f"{module}.") for name in modules if name.startswith(f"{module}."))
        left_out = [f"   :exclude-members: {inner}"] if inner else []  # they stand below under their own names
        lines += [f"## {module}\n", "```{eval-rst}", f".. automodule:: {module}", *left_out, "```\n"]
    return "\n".join(lines)


def api_index() -> str:
    """The public names, then every room in the order in which data flow."""
    contributing = (ROOT.parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    told = dict(re.findall(r"^(\w+)(?:/|\.py)\s+(\S.*)$", contributing, re.MULTILINE))
    there = rooms()
    order = [room for room in told if room in there] + [room for room in there if room not in told]
    lines = [
        "# Python API\n",
        "These names are the public face: `from xlip import XLIPModel`. They stay as they are "
        "within a minor version. Everything "
        "below is importable too, and documented, but may move.\n",
        table(
            ["name", "where it is written"], ([code(name), code(place)] for name, place in sorted(xlip._PUBLIC.items()))
        ),
        "## Rooms of the source\n",
        table(
            ["room", "what is in it"],
            (
                [
                    f"[`xlip.{room}`]({room}.md)" if room != "others" else "[others](others.md)",
                    told.get(room, "files, errors, checksums and other small modules that stand alone"),
                ]
                for room in order
            ),
        ),
        "```{toctree}\n:hidden:\n",
        *order,
        "```\n",
    ]
    return "\n".join(lines)
