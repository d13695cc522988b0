"""Lines of source: in all, by room, the share of the largest room, the longest function; beside those of another tree.

`git worktree add ../before 4cdecfd; python bench/house.py --base ../before` says how far the source grew or shrank.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def source(tree: Path) -> dict[Path, str]:
    """Python files of the package, with their text."""
    package = tree / "src" / "xlip"
    files = {file.relative_to(package): file.read_text("utf-8") for file in sorted(package.rglob("*.py"))}
    if not files:
        raise SystemExit(f"{package}: no Python file; expected the root of a checkout")
    return files


def functions(files: dict[Path, str]) -> list[tuple[int, str]]:
    """(lines, place) of every function, the longest first."""
    found = [
        ((node.end_lineno or 0) - node.lineno + 1, f"{file}:{node.lineno} {node.name}")
        for file, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, reverse=True)


def rooms(files: dict[Path, str]) -> Counter[str]:
    """Lines by folder, or by file where it stands alone."""
    found: Counter[str] = Counter()
    for file, text in files.items():
        found[file.parts[0].removesuffix(".py")] += text.count("\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--base", type=Path, help="root of another checkout")
    arguments = parser.parse_args()
    files = source(ROOT)
    by_room, longest = rooms(files), functions(files)
    total = by_room.total()
    for room, count in by_room.most_common():
        print(f"{count:6d}  {count / total:5.1%}  {room}")
    size, place = longest[0]
    print(f"{total:6d}  lines in {len(files)} files; {len(longest)} functions, the longest {size}: {place}")
    if arguments.base:
        before = rooms(source(arguments.base)).total()
        print(f"{before:6d}  lines in {arguments.base}; {total - before:+d} since")


if __name__ == "__main__":
    main()
