"""How fast `xlip tag` is: one core, several processes, memory over very many reports.

Writes docs/data/tag_speed.json and docs/measurements/tag_speed.md.

Times are the best of several runs of one process, CPU time beside wall time, because other work may share the machine.
Without `--full` everything is small and quick and the table is only printed; the figures in docs come from `--full`.
`--reports N` sets how many reports the memory run reads.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
from spacy.tokens import Doc

from facts import ROOT, this_run
from xlip.reports.entities import TAGGER
from xlip.reports.sections import clean, compose_sections
from xlip.reports.tag_inputs import Document
from xlip.reports.tag_run import CHUNK, TagConfig, tag_chunk, tag_to
from xlip.reports.tagger.rules import RuleTagger, rule_tagger

DATA = Path(os.environ.get("XLIP_DATA", ROOT.parent / "shared" / "data")) / "iu_openi" / "indiana_reports.csv"
RUNS = 5


def reports() -> list[str]:
    with DATA.open(encoding="utf-8", newline="") as stream:
        composed = [
            compose_sections({name: clean(row[name]) or "" for name in ("findings", "impression")})
            for row in csv.DictReader(stream)
        ]
    return [text for text in composed if text]


def best(work: Callable[[], object], runs: int = RUNS) -> dict[str, float]:
    """Least CPU and wall seconds of several runs."""
    cpu, wall = [], []
    for _ in range(runs):
        started = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return {"cpu_s": min(cpu), "wall_s": min(wall)}


def one_core(texts: list[str]) -> dict[str, Any]:
    """Reports per second of one process, and what part of it spaCy's own code takes."""
    tagger = rule_tagger("en")
    tagger.tag(texts[0])
    whole = best(lambda: [tagger.tag(text) for text in texts])
    docs = [tagger.pipeline.make_doc(text) for text in texts]
    words = [[token.text for token in doc] for doc in docs]
    vocab = tagger.pipeline.vocab
    building = best(lambda: [Doc(vocab, words=item) for item in words])
    matcher = tagger.pipeline.get_pipe("xlip_matcher").matcher
    matching = best(lambda: [matcher(doc) for doc in docs])
    written = best(lambda: [tag_chunk(chunk, ("rules", "en"), "jsonl") for chunk in chunks(texts, len(texts))])
    fresh = RuleTagger("en")
    started = time.process_time()
    fresh.tag("edema")
    return {
        "reports": len(texts),
        "characters_per_report": sum(map(len, texts)) / len(texts),
        "tag": {**whole, "reports_per_cpu_s": len(texts) / whole["cpu_s"]},
        "tag and write JSON lines": {**written, "reports_per_cpu_s": len(texts) / written["cpu_s"]},
        "share_in_spacy": (building["cpu_s"] + matching["cpu_s"]) / whole["cpu_s"],
        "share_building_docs": building["cpu_s"] / whole["cpu_s"],
        "share_phrase_matcher": matching["cpu_s"] / whole["cpu_s"],
        "start_cpu_s": time.process_time() - started,
    }


def chunks(texts: list[str], count: int) -> Iterator[list[Document]]:
    endless = (Document(str(number), f"{text} {number}") for number, text in enumerate(cycle(texts)))
    left = count
    while left > 0:
        yield list(islice(endless, min(CHUNK, left)))
        left -= CHUNK


def several_processes(texts: list[str], copies: int, runs: int = 3) -> dict[str, Any]:
    """Seconds for the whole command without start-up: the time of `copies` less the time of one copy."""
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {n: Path(folder) / f"{n}.jsonl" for n in (1, copies)}
        for n, file in files.items():
            file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) * n, "utf-8")
        for workers in (1, 2):
            seconds = {}
            for n, file in files.items():
                out = str(Path(folder) / "out.jsonl")
                seconds[n] = best(
                    lambda file=file, out=out, w=workers: tag_to(TagConfig(str(file), out, workers=w)), runs
                )
            wall, own = (seconds[copies][name] - seconds[1][name] for name in ("wall_s", "cpu_s"))
            done = (copies - 1) * len(texts)
            result[workers] = {"reports_per_wall_s": done / wall, "share_of_wall_in_parent": own / wall}
    return {"workers": result, "scaling": result[2]["reports_per_wall_s"] / result[1]["reports_per_wall_s"]}


def memory(texts: list[str], count: int) -> dict[str, Any]:
    """Resident memory along a run over `count` reports, each with a word of its own, MiB."""
    process, seen, marks = psutil.Process(), 0, {}
    steps = [count * n // 20 for n in range(1, 21)]
    started = time.process_time()
    for chunk in chunks(texts, count):
        seen += tag_chunk(chunk, ("rules", "en"), "jsonl").documents
        if seen >= steps[0]:
            marks[seen] = process.memory_info().rss / 2**20
            steps.pop(0)
    spent = time.process_time() - started
    values = list(marks.values())
    return {"reports": seen, "cpu_s": spent, "rss_mib": marks, "growth_mib": values[-1] - values[0]}


def table(result: dict[str, Any]) -> str:
    core, several, kept = result["one_core"], result["several_processes"], result["memory"]
    rows = [
        ("tag, one core, reports per CPU second", f"{core['tag']['reports_per_cpu_s']:,.0f}"),
        ("tag and write JSON lines", f"{core['tag and write JSON lines']['reports_per_cpu_s']:,.0f}"),
        ("share of the time in spaCy (documents + phrase matcher)", f"{core['share_in_spacy']:.0%}"),
        ("start of a tagger, CPU seconds", f"{core['start_cpu_s']:.2f}"),
        ("2 processes against 1, wall", f"{several['scaling']:.2f} x"),
        ("load of the machine at the start of that run", f"{several['load']:.1f}"),
        (f"memory growth over {kept['reports']:,} reports", f"{kept['growth_mib']:.1f} MiB"),
    ]
    lines = [
        f"Written by `python bench/tag.py --full`; tagger {result['tagger']}, {core['reports']} Open-i reports.",
        "",
    ]
    lines += ["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="full sizes, and write the figures to docs")
    parser.add_argument("--reports", type=int, help="reports of the memory run; default: 5,000, full 1,000,000")
    parser.add_argument("--copies", type=int, help="copies of Open-i of the run in processes; default: 1, full 8")
    options = parser.parse_args()
    count = options.reports or (1_000_000 if options.full else 5_000)
    copies = options.copies or (8 if options.full else 1)
    if not DATA.exists():
        print(f"no Open-i reports at {DATA}; set XLIP_DATA")
        return
    texts = reports()
    result: dict[str, Any] = {"tagger": TAGGER, **this_run(), "cores": os.cpu_count(), "one_core": one_core(texts)}
    load = psutil.getloadavg()[0]
    result["several_processes"] = {**several_processes(texts, copies), "load": load}
    result["memory"] = memory(texts, count)
    if options.full:
        (ROOT / "docs" / "data" / "tag_speed.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        (ROOT / "docs" / "measurements" / "tag_speed.md").write_text(
            "# Speed of the tagger\n\n" + table(result), "utf-8"
        )
    print(table(result))


if __name__ == "__main__":
    main()
