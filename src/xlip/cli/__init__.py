"""The command line. The only package that knows the argument parser and that prints."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xlip.cli.as_json import FLAG, run_as_json
from xlip.cli.commands import COMMANDS
from xlip.cli.examples import EXIT_CODES
from xlip.cli.parse import command_and_rest, parse
from xlip.cli.surroundings import check_folder, flush, lacks_memory, make_usable, of_system, reader_gone, silence
from xlip.errors import Stopped, XLIPError

__all__ = ["COMMANDS", "main"]
DATA = frozenset({
    *("charset_normalizer", "jinja2", "matplotlib", "openpyxl", "pyarrow", "pydantic", "rich", "scipy", "spacy"),
    *("threadpoolctl", "upath"),
})  # fmt: skip
"""Modules of the extra `[data]` (pydantic comes with spaCy), which `[train]` brings too: the core alone has none."""
TRAINING = frozenset({
    *("accelerate", "duckdb", "huggingface_hub", "safetensors", "sklearn", "tensorboard", "torch"),
    "transformers",
})  # fmt: skip
"""Modules of the extra `[train]` beside those."""
SEARCHING = frozenset({"duckdb", "jinja2", "pyarrow", "rich", "threadpoolctl"})
"""Of these, what the extra `[search]` brings without torch; `[train]` has it too."""
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that a scheduler sends before it kills a process, and that a terminal sends when it is closed."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `xlip`; returns the exit code.

    `EXIT_CODES` says what they mean: 0, 1, 2, or 128 + the signal that stopped it.
    """
    make_usable()
    try:
        with _signals():
            code = _guarded(sys.argv[1:] if arguments is None else arguments)
            if code != 2:
                flush()
        return code
    except BrokenPipeError:
        if not reader_gone():
            raise
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:  # of printing: a disk that is full behind `>`, a terminal that is gone
        silence()
        _say(f"standard output: {of_system(error)}")
        return 2
    finally:
        silence()


def _guarded(arguments: list[str]) -> int:
    """The exit code of a command, its faults as one line."""
    try:
        return _called(arguments)
    except XLIPError as error:
        said = str(error)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in TRAINING | DATA:
            raise
        said = f"this needs the package {error.name}; run `pip install 'xlip[{_extra_with(module, arguments)}]'`"
    except Stopped as stopped:
        _say(str(stopped))
        return 128 + stopped.signal
    except BrokenPipeError:
        if reader_gone():
            raise
        said = "another program closed its end of a connection; is it still running?"
    except OSError as error:
        # What no reading or writing site expected: a disk that is full, storage that is gone, a right that is missing.
        said = of_system(error)
    except UnicodeEncodeError as error:
        if not any("\ud800" <= letter <= "\udfff" for letter in str(error.object)):
            raise
        said = f"{str(error.object)[:200]!r} is not UTF-8 and cannot be written; expected a name in UTF-8; rename it"
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        said = f"out of memory ({' '.join(str(error).split())[:200]}); expected more; lower the batch size or --workers"
    _say(said)
    return 2


def _say(line: str) -> None:
    with suppress(OSError):  # nobody may be there to read it; the exit code says it too
        print(f"xlip: {line}", file=sys.stderr)


def _called(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        import xlip

        print(xlip.__version__)
        return 0
    check_folder()
    # Before torch is imported: spinning OpenMP threads make a shared machine several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # also of weights read from a local folder
    return _run(arguments)


def _extra_with(module: str, arguments: list[str]) -> str:
    """The smallest extra with a package that a command lacks."""
    command = COMMANDS.get(command_and_rest(arguments)[0])
    if command and command.extra == "data" and module in DATA:
        return "data"
    return "search" if module in SEARCHING else "train"


def _run(arguments: list[str]) -> int:
    as_json = FLAG in arguments and arguments[0] != FLAG
    command, config = parse([word for word in arguments if word != FLAG] if as_json else arguments)
    if as_json:
        return run_as_json(command_and_rest(arguments)[0], lambda: command.run(config) or 0)
    return command.run(config) or 0


@contextmanager
def _signals() -> Iterator[None]:
    """Within the block a request to stop is an exception: what is half written is removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if number == signal.SIGTERM or handler != signal.SIG_IGN:  # `nohup` asks to outlive the terminal
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}", number)


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
