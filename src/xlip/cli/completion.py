"""`xlip completion`: what bash, zsh and fish need to complete commands, options and files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from xlip.cli.command import Command
from xlip.errors import XLIPError

SHELLS = ("bash", "zsh", "fish")
BASH = """\
_xlip() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} name=${{COMP_WORDS[1]}} words
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
        return
    fi
    case "$name" in
{groups}
    esac
    case "$name ${{COMP_WORDS[2]}}" in
{options}
    esac
    if [ -z "$words" ]; then
        case "$name" in
{plain}
        esac
    fi
    case "$word" in -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;; esac
}}
complete -o default -o bashdefault -F _xlip xlip
"""


@dataclass(frozen=True)
class CompletionConfig:
    """`xlip completion`."""

    shell: str
    """bash, zsh or fish."""


def script(shell: str, commands: Mapping[str, Command]) -> str:
    """The script of a shell.

    Raises:
        XLIPError: a shell that is not known.
    """
    if shell not in SHELLS:
        raise XLIPError(f"completion: expected one of {', '.join(SHELLS)}, got {shell!r}")
    options = options_of(commands)
    if shell == "fish":
        return _fish(options, commands)
    zsh = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return zsh + _bash(options)


def options_of(commands: Mapping[str, Command]) -> dict[str, list[str]]:
    """Command -> its options. One whose packages are not installed has those that every command has."""
    from xlip.cli.parsers import build_parser

    found = {}
    for name, command in commands.items():
        options = {"--config", "--help", "--json"}
        with contextlib.suppress(ImportError):
            options |= {word for word in build_parser(name, command)[0]._option_string_actions if word.startswith("--")}
        found[name] = sorted(options)
    return found


def _bash(options: dict[str, list[str]]) -> str:
    """Commands of two words (`pacs pull`) are completed word by word."""
    first = list(dict.fromkeys(name.split()[0] for name in options))
    groups = {word: [name.split()[1] for name in options if name.startswith(f"{word} ")] for word in first}
    second = [
        f'        {word}) if [ "$COMP_CWORD" -eq 2 ]; then '
        f'COMPREPLY=($(compgen -W "{" ".join(names)}" -- "$word")); return; fi ;;'
        for word, names in groups.items()
        if names
    ]
    two = [f'        "{name}") words="{" ".join(words)}" ;;' for name, words in options.items() if " " in name]
    one = [f'            {name}) words="{" ".join(words)}" ;;' for name, words in options.items() if " " not in name]
    return BASH.format(commands=" ".join(first), groups="\n".join(second), options="\n".join(two), plain="\n".join(one))


def _fish(options: dict[str, list[str]], commands: Mapping[str, Command]) -> str:
    first = dict.fromkeys(name.split()[0] for name in options)
    known = " ".join(first)
    lines = []
    for word in first:
        said = commands[word].help if word in commands else "speak DICOM"
        lines.append(f"complete -c xlip -n 'not __fish_seen_subcommand_from {known}' -a {word} -d {_quoted(said)}")
    for name, words in options.items():
        where = " and ".join(f"__fish_seen_subcommand_from {part}" for part in name.split())
        where = where.replace(" and ", "; and ")
        if " " in name:
            group, part = name.split()
            lines.append(
                f"complete -c xlip -n '__fish_seen_subcommand_from {group}' -a {part} -d {_quoted(commands[name].help)}"
            )
        lines += [f"complete -c xlip -n '{where}' -l {word[2:]}" for word in words]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
