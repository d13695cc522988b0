"""The commands of retrieval: embed, search, index."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xlip.cli.as_json import record_table
from xlip.cli.progress import progress_shown
from xlip.cli.show import print_dropped
from xlip.errors import XLIPError

if TYPE_CHECKING:
    from xlip.runtime.encoder import Encoder
    from xlip.search.ask import Found, SearchConfig
    from xlip.search.embed import EmbedConfig
    from xlip.search.manage import IndexConfig
    from xlip.search.page import Pictures
    from xlip.search.store import Store


def run_embed(config: EmbedConfig) -> None:
    """Embed images into an index."""
    from xlip.cli.encoders import open_encoder
    from xlip.search.embed import REFUSED, embed

    encoder = open_encoder(config.model, config.precision)
    with _counted_cuts() as cuts, progress_shown("embed", "images") as progress:
        made = embed(config, encoder, progress)
    if cuts:
        print(f"{len(cuts)} reports are longer than the model reads: their vectors are those of their beginnings")
    known = f", {made.known} were there already" if made.known else ""
    rows = f"{made.rows} rows, {made.added} of them new{known}"
    print(f"{config.out}: {rows}; checkpoint {encoder.identity}{_numbers(encoder)}")
    for reason, count in made.reasons().most_common():
        print(f"refused {count}: {reason}")
    if made.refused:
        print(f"every refused image: {config.out}/{REFUSED}")
        print_dropped(list(made.refused.items()))
    print(f'next: xlip search {config.out} --text "left pleural effusion"')


def _numbers(encoder: Encoder) -> str:
    """In which numbers images were encoded, where it is not fp32."""
    found = getattr(encoder, "numbers", "fp32")
    return "" if found == "fp32" else f", images encoded in {found}"


@contextmanager
def _counted_cuts() -> Iterator[list[logging.LogRecord]]:
    """Collects what the processor says of each text that is too long: a line for every report would hide the rest."""
    found: list[logging.LogRecord] = []

    def kept(record: logging.LogRecord) -> bool:
        cut = "cut after" in record.msg
        found.extend([record] * cut)
        return not cut

    logger = logging.getLogger("xlip.batches.processor")
    logger.addFilter(kept)
    try:
        yield found
    finally:
        logger.removeFilter(kept)


def run_search(config: SearchConfig) -> None:
    """Search an index."""
    from xlip.files import check_target
    from xlip.search.ask import search
    from xlip.search.open import open_store

    for target in filter(None, (config.out, config.html)):
        check_target(Path(target))
    store = open_store(config.index)
    opened: list[Encoder] = []

    def encoder() -> Encoder:
        if not opened:
            opened.append(_encoder_of(config, store))
        return opened[0]

    found = search(config, store, encoder)
    _print_hits(found)
    if config.html:  # first: it reads the most, and where that fails no table is to be left
        with _counted_cuts():  # the maps of long reports are those of their beginnings
            _write_page(config, found, store, encoder)
        print(f"look at {config.html}")
    if config.out:
        _write_table(found, Path(config.out))
        print(f"all of them: {config.out}")


def _encoder_of(config: SearchConfig, store: Store) -> Encoder:
    """The model that the user names, or the one that made the index."""
    from xlip.cli.encoders import open_encoder

    if config.model:
        return open_encoder(config.model)
    beside = Path(config.index) / store.facts.model
    name = str(beside.resolve()) if "://" not in config.index and beside.exists() else store.facts.model
    if not name:
        raise XLIPError(f"{config.index}: the index does not say which model made it; name it with --model")
    try:
        return open_encoder(name)
    except XLIPError as error:
        raise XLIPError(f"the model of this index is gone ({error}); name it with --model") from error


def _print_hits(found: Found) -> None:
    record_table(("rank", "id", "score"), [(rank, hit.id, hit.score) for rank, hit in enumerate(found.hits, 1)])
    for rank, hit in enumerate(found.hits, 1):
        report = " ".join(str(hit.columns.get("report", "")).split())
        print(f"{rank}. {hit.id} {hit.score:.3f}" + (f"  {report[:100]}" if report else ""))
    if not found.hits:
        print(f"no {found.find} to be found: none fulfils the condition, or the index holds none")
    print(f"{found.find} for {found.asked!r}; research use only, not for diagnosis")


def _write_table(found: Found, path: Path) -> None:
    from xlip.files import whole_text, writing

    names = list(dict.fromkeys(name for hit in found.hits for name in hit.columns))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), whole_text(path) as stream:
        writer = csv.writer(stream)
        writer.writerow(["rank", "id", "score", *names])
        for rank, hit in enumerate(found.hits, 1):
            writer.writerow([rank, hit.id, repr(hit.score), *(hit.columns.get(name, "") for name in names)])


def _write_page(config: SearchConfig, found: Found, store: Store, encoder: Callable[[], Encoder]) -> None:
    from xlip.files import writing
    from xlip.images.files import encode
    from xlip.search.page import write_page

    facts = {"checkpoint": store.identity, "rows": str(len(store)), "where": config.where or "all"}
    query = b"" if found.query is None else encode(found.query)
    if config.like:
        query = store.thumbnail(config.like) or b""
    with writing(Path(config.html)):
        Path(config.html).parent.mkdir(parents=True, exist_ok=True)
        write_page(Path(config.html), found, _pictures(found, store, encoder, config.index), facts, query)


def _pictures(found: Found, store: Store, encoder: Callable[[], Encoder], index: str) -> list[Pictures]:
    """Of each hit its thumbnail, and the map of what it was found by."""
    from xlip.cli.search_maps import mapped
    from xlip.search.page import Pictures
    from xlip.search.store import IMAGES

    shown = []
    for hit, text in zip(found.hits, found.fitting, strict=True):
        image = _picture(store, hit.id, index)
        over = found.query if found.find != IMAGES else (image or None)
        overlay, note = mapped(encoder, over, text) if text and over is not None else (b"", "")
        shown.append(Pictures(image, overlay, note))
    return shown


def _picture(store: Store, id_: str, index: str) -> bytes:
    """The picture of a hit; b'' where the index holds none."""
    from xlip.images.any_form import gray

    image = store.thumbnail(id_) or b""
    try:
        if image:
            gray(image)
    except XLIPError as error:
        raise XLIPError(f"{index}: the picture of {id_} is damaged ({error}); make the index again") from error
    return image


def run_index(config: IndexConfig) -> None:
    """Show an index; take rows out; write its files together."""
    from xlip.search.manage import manage

    store, removed = manage(config)
    if config.remove:
        print(f"removed {removed} of {len(set(config.remove))} rows")
        if removed and not config.compact:
            print("they stay on the disk until `xlip index --compact`", file=sys.stderr)
    record_table(("column", "kind"), store.columns.items())
    if config.ids:
        print("\n".join(store.ids()))
        return
    facts = store.facts
    print(f"{config.index}: {len(store)} rows, checkpoint {facts.identity} ({facts.model or 'no name'}), ", end="")
    print(f"{facts.width} numbers a vector, {facts.preprocess}/{facts.image_size}")
    print("columns: " + (", ".join(f"{name} ({kind})" for name, kind in store.columns.items()) or "none"))
