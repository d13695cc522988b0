"""`xlip serve` under load, its cold start, and one film end to end; beside plain `transformers` CLIP of the same size.

`python bench/serve.py` runs each for seconds and prints; `--full` loads for 5 minutes, writes `docs/data/serve.json`.
Weights are random, which costs the same as trained ones. Times of one film are of one thread, ours and the other's in
turn; processor seconds stand beside wall seconds, so that other work on the machine can be told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import numpy as np

from facts import facts

ROOT = Path(__file__).parents[1]
KINDS = "Atelectasis,Cardiomegaly,Consolidation,Edema,Effusion"


def dicom(size: int) -> bytes:
    """A phantom as a DICOM file of 12 bits."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    from xlip.images.square import fit
    from xlip.phantom import generate

    pixels = fit(generate(3, size=512).pixels, size)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = size, size, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2040, 4081
    data.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    data["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def models(folder: Path) -> dict[str, Path]:
    """A model of the demo's size and one with a ViT-B/16, exported."""
    from xlip.batches.processor import XLIPProcessor
    from xlip.batches.tokenizer import train_wordpiece
    from xlip.demo import MODEL
    from xlip.export.run import ExportConfig, export
    from xlip.phantom import generate
    from xlip.train.build import build_model

    tokenizer = train_wordpiece([generate(number, size=64).report for number in range(60)], vocab_size=400)
    large = replace(
        MODEL, image_size=224, width=768, depth=12, heads=12, text_width=512, text_depth=12, text_heads=8,
        embed_dim=512, stem="patch",
    )  # fmt: skip
    found = {}
    for name, config in {"demo": MODEL, "vit_b16": large}.items():
        config = replace(config, vocab_size=400, local=True)
        processor = XLIPProcessor(tokenizer, config.image_size, "letterbox", config.max_tokens)
        build_model(config, processor, 0).save_pretrained(folder / name)
        found[name] = folder / f"{name}-onnx"
        export(ExportConfig(model=str(folder / name), out=str(found[name])), say=lambda line: None)
    return found


class Process:
    """`xlip serve` in a process of its own."""

    def __init__(self, model: Path, *options: str) -> None:
        command = [sys.executable, "-m", "xlip.cli", "serve", "--model", str(model), "--port", "0", *options]
        start = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = re.findall(r"http://\S+?(?=/ )", self.process.stdout.readline())[0]
        with httpx.Client(trust_env=False) as client:
            while client.get(f"{self.url}/ready").status_code != 200:
                time.sleep(0.01)
        self.start_seconds, self.start_cpu = time.perf_counter() - start, self.cpu()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


async def load(one: Process, clients: int, seconds: float, films: list[bytes]) -> dict[str, Any]:
    """What `clients` that ask one question after another get; one that is refused waits as long as it is told."""
    counts: Counter[str] = Counter()
    times: dict[str, list[float]] = {"zeroshot": [], "explain": [], "embed": []}
    memory: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        draw = np.random.default_rng(number)
        async with httpx.AsyncClient(base_url=one.url, timeout=60, trust_env=False) as session:
            while time.perf_counter() < end:
                route = str(draw.choice(list(times), p=[0.7, 0.2, 0.1]))
                film = films[draw.integers(len(films))]
                start = time.perf_counter()
                try:
                    data = {} if route == "embed" else {"kinds": KINDS}
                    answer = await session.post(f"/v1/{route}", files={"image": film}, data=data)
                except httpx.HTTPError as error:
                    counts[type(error).__name__] += 1
                    continue
                counts[str(answer.status_code)] += 1
                if answer.status_code == 200:
                    times[route].append(time.perf_counter() - start)
                elif answer.status_code == 429:
                    await asyncio.sleep(float(answer.headers["retry-after"]))

    async def watch() -> None:
        while time.perf_counter() < end:
            memory.append(one.memory())
            await asyncio.sleep(1)

    before, start = one.cpu(), time.perf_counter()
    await asyncio.gather(watch(), *(client(number) for number in range(clients)))
    tenth = max(1, len(memory) // 10)
    return {
        "clients": clients,
        "seconds": round(time.perf_counter() - start, 1),
        "answers": dict(counts),
        "per_second": round(counts["200"] / seconds, 1),
        "server_cpu_share": round((one.cpu() - before) / seconds, 2),
        "p50_p95_p99_max_seconds": {name: quantiles(found) for name, found in times.items()},
        "memory_mb": {
            "after_a_tenth": round(float(np.mean(memory[tenth : 2 * tenth] or memory))),
            "last_tenth": round(float(np.mean(memory[-tenth:]))),
            "most": round(max(memory)),
        },
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }


def quantiles(values: list[float]) -> list[float]:
    return [round(float(value), 3) for value in np.quantile(values, (0.5, 0.95, 0.99, 1))] if values else []


def timed(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Median wall and processor seconds of each, in turn."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, one in work.items():
            start, cpu = time.perf_counter(), time.process_time()
            one()
            spent[name].append((time.perf_counter() - start, time.process_time() - cpu))
    return {
        name: {key: round(median(pair[at] for pair in pairs[1:]), 4) for at, key in enumerate(("wall", "cpu"))}
        for name, pairs in spent.items()
    }


def one_film(folder: Path, film: bytes) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """DICOM in, scores and the map of one finding out; and scores alone. As a request computes them, less HTTP."""
    from xlip.runtime.exported import ExportedModel
    from xlip.serve.asks import ExplainAsk, ZeroShotAsk
    from xlip.serve.config import ServeConfig
    from xlip.serve.service import Service

    loop = asyncio.new_event_loop()
    service = Service.open(ServeConfig(model=str(folder)), ExportedModel.open(str(folder)))
    loop.run_until_complete(service.start())
    atexit.register(lambda: loop.run_until_complete(service.stop()))
    ask, where = ZeroShotAsk(kinds=KINDS), ExplainAsk(kinds="Effusion")  # type: ignore[arg-type]

    async def scores() -> Any:
        return await service.zeroshot([await service.film(film)], ask)

    async def both() -> Any:
        read = await service.film(film)
        return await service.zeroshot([read], ask), await service.explain(read, where)

    return (lambda: loop.run_until_complete(both())), (lambda: loop.run_until_complete(scores()))


def plain_clip(film: bytes) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The usual lines with `CLIPModel` (ViT-B/16 at 224 px): DICOM to scores, texts encoded each time or once."""
    import pydicom
    import torch
    from PIL import Image
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.set_num_threads(1)
    config = CLIPConfig(vision_config={"patch_size": 16, "image_size": 224, "projection_dim": 512})
    model, processor = CLIPModel(config).eval(), CLIPImageProcessor()
    tokens = torch.randint(0, 40000, (2 * len(KINDS.split(",")), 16))  # a positive and a negative prompt of each kind
    tokens[:, -1] = 49407

    def pixels() -> Any:
        data = pydicom.dcmread(io.BytesIO(film))
        gray = (data.pixel_array / data.pixel_array.max() * 255).astype(np.uint8)
        return processor(images=Image.fromarray(gray).convert("RGB"), return_tensors="pt")["pixel_values"]

    @torch.no_grad()
    def every_time() -> Any:
        return model(input_ids=tokens, pixel_values=pixels()).logits_per_image

    with torch.no_grad():
        texts = model.text_projection(model.text_model(input_ids=tokens).pooler_output)

    @torch.no_grad()
    def once() -> Any:
        return model.visual_projection(model.vision_model(pixel_values=pixels()).pooler_output) @ texts.T

    return every_time, once


def films(made: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Times of one film."""
    small, large = dicom(1024), dicom(2500)
    ours, ours_scores = one_film(made["demo"], small)
    big, big_scores = one_film(made["vit_b16"], small)
    theirs, theirs_once = plain_clip(small)
    large_work = {
        "xlip_scores_and_map": big,
        "xlip_scores": big_scores,
        "clip_scores": theirs,
        "clip_scores_texts_kept": theirs_once,
    }
    return {
        "film_1024_demo": timed({"scores_and_map": ours, "scores": ours_scores}, rounds),
        "film_2500_demo": timed({"scores_and_map": one_film(made["demo"], large)[0]}, rounds),
        "film_1024_vit_b16": timed(large_work, rounds),
    }


def costs(model: Path, rounds: int) -> dict[str, Any]:
    """Processor seconds of one encoding, of the map of all kinds, and of both in one pass: one film, in turn."""
    from xlip.explain.asked import ask
    from xlip.explain.explanation import explain_all
    from xlip.phantom import PHANTOM_KINDS, generate
    from xlip.runtime.exported import ExportedModel

    encoder = ExportedModel.open(model)
    square = generate(3, size=encoder.image_size).pixels[None]
    asked = ask(encoder, PHANTOM_KINDS)
    queries = np.stack([one.positive for one in asked])
    spent = timed(
        {
            "encoding": lambda: encoder.encode_squares(square),
            "map": lambda: encoder.maps(square, queries),
            "encoding and map": lambda: encoder.encode_and_map(square, queries),
            "explain": lambda: explain_all(encoder, square, asked, "response"),
        },
        rounds,
    )
    seconds = {name: one["cpu"] for name, one in spent.items()}
    ratios = {name: round(value / seconds["encoding"], 3) for name, value in seconds.items()}
    return {"cpu_seconds": seconds, "times_one_encoding": ratios}


def cold_starts(model: Path, count: int) -> list[dict[str, float]]:
    """From the command to an answer of /ready."""
    found = []
    for _ in range(count):
        one = Process(model)
        found.append({"wall": round(one.start_seconds, 2), "cpu": round(one.start_cpu, 2)})
        assert one.stop() == 143
    return found


def loaded(model: Path, clients: int, seconds: float, folder: Path) -> dict[str, Any]:
    """A service under load, and what its audit log holds afterwards."""
    one = Process(model, "--audit", str(folder / "audit.jsonl"))
    asked = [dicom(256 + 64 * number) for number in range(5)]
    found = asyncio.run(load(one, clients, seconds, asked))
    lines = (folder / "audit.jsonl").read_text().splitlines()
    recorded = sum(json.loads(line)["event"] == "prediction" for line in lines)
    return {**found, "exit": one.stop(), "audit_lines": recorded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    choices = ("films", "costs", "start", "load")
    parser.add_argument("--only", choices=choices, help="the others of docs/data/serve.json stay")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--models", default="", help="folder to keep the exported models in")
    arguments = parser.parse_args()
    seconds = arguments.seconds or (300 if arguments.full else 10)
    rounds = arguments.rounds or (20 if arguments.full else 5)
    file, found = ROOT / "docs" / "data" / "serve.json", {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.models or temporary)
        made = {name: folder / f"{name}-onnx" for name in ("demo", "vit_b16")}
        wanted = [made["demo"]] if arguments.only in ("start", "load") else list(made.values())
        if not all(one.is_dir() for one in wanted):
            made = models(folder)
        parts: dict[str, Callable[[], Any]] = {
            "films": lambda: films(made, rounds),
            "costs": lambda: {name: costs(one, 2 * rounds + 1) for name, one in made.items()},
            "start": lambda: cold_starts(made["demo"], 3),
            "load": lambda: loaded(made["demo"], arguments.clients, seconds, Path(temporary)),
        }
        for name in [arguments.only] if arguments.only else list(parts):
            found[name] = parts[name]()
            print(json.dumps({name: found[name]}, indent=2), flush=True)
    if arguments.full:
        kept = json.loads(file.read_text()) if file.is_file() else {}
        made_by = {**facts(), "load_average": [round(value, 1) for value in os.getloadavg()]}
        found["runs"] = {**kept.get("runs", {}), **dict.fromkeys(found, made_by)}
        file.write_text(json.dumps({**kept, **found, "command": "python bench/serve.py --full"}, indent=2) + "\n")


if __name__ == "__main__":
    main()
