"""Films that a modality sends are an index that is searched and served: listen, embed, search, serve on one spool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_encoder import FakeEncoder
from films import SECRETS, encoded, film
from xlip.pacs.access import Access
from xlip.pacs.listen import ListenConfig, Listener
from xlip.pacs.send import SendConfig, send
from xlip.search.embed import EmbedConfig, embed
from xlip.search.index import Index
from xlip.serve.cases import Cases

pytestmark = [
    pytest.mark.usefixtures("sockets_collected"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_spool_folder_is_embedded_searched_and_served_and_grows(tmp_path: Path) -> None:
    spool, out = tmp_path / "spool", tmp_path / "index"
    config = EmbedConfig("m", str(spool), str(out), workers=0, batch_size=2)
    counts = []
    with Listener(ListenConfig(str(spool), port=0, reserve=1)) as peer:
        for batch in ((0, 1, 2), (3, 4)):
            for number in batch:
                (tmp_path / f"{number}.dcm").write_bytes(encoded(film(number, size=128)))
            files = [str(tmp_path / f"{number}.dcm") for number in batch]
            done = send(SendConfig(files, f"XLIP@127.0.0.1:{peer.port}", access=Access(wait=0.0, timeout=10.0)))
            assert done.kept == len(batch)
            counts.append(embed(config, FakeEncoder()).added)
    assert counts == [3, 2], "what was there was embedded again, or what came was not"
    index, cases = Index.open(out), Cases.open(str(out), FakeEncoder())
    query = FakeEncoder().encode_texts(["pleural effusion"])
    (hits,) = index.nearest(query, 5, "view = 'PA'")
    assert len(hits) == 5
    assert [one.id for one in cases.like(query[0], 5)] == [hit.id for hit in index.nearest(query, 5)[0]]
    assert all(one.thumbnail for one in cases.like(query[0], 5))
    assert cases.sample.shape == (5, 2)
    assert np.isfinite(cases.sample).all()
    told = " ".join(str(value) for hit in hits for value in (hit.id, *hit.columns.values()))
    names = " ".join(path.name for path in out.rglob("*"))
    assert not [secret for secret in SECRETS if secret in told + names]
