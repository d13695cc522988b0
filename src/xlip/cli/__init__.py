"""The command line. The only package that knows the argument parser and that prints."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading

from xlip.cli.as_json import FLAG, run_as_json
from xlip.cli.commands import COMMANDS
from xlip.cli.examples import EXIT_CODES
from xlip.cli.parse import command_and_rest, parse
from xlip.errors import Stopped, XLIPError
from xlip.files import meant_by

__all__ = ["COMMANDS", "main"]
DATA = frozenset({
    *("charset_normalizer", "jinja2", "matplotlib", "openpyxl", "pyarrow", "pydantic", "rich", "scipy", "spacy"),
    *("threadpoolctl", "upath"),
})  # fmt: skip
"""Modules of the extra `[data]` (pydantic comes with spaCy), which `[train]` brings too: the core alone has none."""
TRAINING = frozenset({
    *("accelerate", "datasets", "duckdb", "huggingface_hub", "safetensors", "sklearn", "tensorboard", "torch"),
    "transformers",
})  # fmt: skip
"""Modules of the extra `[train]` beside those."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `xlip`; returns the exit code.

    `EXIT_CODES` says what they mean: 0, 1, 2, or 128 + the signal that stopped it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        import xlip

        print(xlip.__version__)
        return 0
    # Before torch is imported: spinning OpenMP threads make a shared machine several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # also of weights read from a local folder
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if in_main else None
    try:
        return _run(arguments)
    except XLIPError as error:
        print(f"xlip: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in TRAINING | DATA:
            raise
        command = COMMANDS.get(command_and_rest(arguments)[0])
        extra = "data" if command and command.extra == "data" and module in DATA else "train"
        print(f"xlip: this needs the package {error.name}; run `pip install 'xlip[{extra}]'`", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"xlip: {stopped}", file=sys.stderr)
        return 128 + stopped.signal
    except OSError as error:
        # What no reading or writing site expected: a disk that is full, storage that is gone, a right that is missing.
        if error.filename is None and error.errno not in FULL:
            raise
        print(f"xlip: {_unexpected(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xlip: interrupted", file=sys.stderr)
        return 130
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


def _run(arguments: list[str]) -> int:
    as_json = FLAG in arguments and arguments[0] != FLAG
    command, config = parse([word for word in arguments if word != FLAG] if as_json else arguments)
    if as_json:
        return run_as_json(command_and_rest(arguments)[0], lambda: command.run(config) or 0)
    return command.run(config) or 0


def _unexpected(error: OSError) -> str:
    """What could not be done where. Files are written beside their places (`files.py`), and users know the place."""
    path = str(error.filename or "a file")
    place = meant_by(path)
    if place == path and error.errno not in FULL:
        return f"{path}: {error.strerror}; expected a file or folder that can be used; look at its place and rights"
    return f"{place}: cannot write ({error.strerror}); make room, or choose another place"


def _stop(number: int, frame: object) -> None:
    # As an exception: what is half written is removed on the way out.
    raise Stopped("stopped by SIGTERM", number)


def _overview() -> str:
    lines = [f"  {name:<12} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "xlip: medical vision-language pre-training. Research use only; not a medical device.",
            "",
            *lines,
            "",
            "`xlip COMMAND --help` lists the options; `xlip COMMAND --config FILE.yaml` reads them from a file;",
            "--json prints tables and lines as one JSON object; NO_COLOR=1 leaves colours out.",
            "",
            "exit codes:",
            *(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        ]
    )
