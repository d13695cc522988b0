"""Every text of a step once through the text tower: equal ones together, long and short ones apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xlip.batches.text_batch import TextBatch
from xlip.models.xlip import Encodings, XLIPModel

MOST_BUCKETS = 4
STRIDE = 4
"""Lengths that differ by less are not told apart: there are fewer ways to try."""
PASS = 512
"""Tokens that one more pass of the tower must save: starting it has a price too."""


def encode_together(model: XLIPModel, inputs: dict[str, TextBatch]) -> dict[str, Encodings]:
    """Encodings of named texts, each cut to its own length.

    Texts with the same key (prompts that a step holds twice, 'no X' as a prompt and as a description) are encoded once.
    The others go through the tower in a few buckets of similar length: masked reports share the buckets of whole ones.
    """
    if not inputs:
        return {}
    every = TextBatch.concatenate(list(inputs.values()))
    if not len(every):
        return _cut(model.texts(every), inputs)
    rows, place = distinct(every.keys)
    buckets = length_buckets(every.lengths[rows])
    found = [_encode(model, every, rows[bucket], every.ids.shape[1]) for bucket in buckets]
    # Where each text of `every` stands among the buckets' rows, one after the other.
    order = torch.cat(buckets).argsort()[place].to(every.ids.device, non_blocking=True)
    tokens, embedding = (torch.cat([getattr(one, name) for one in found])[order] for name in ("tokens", "embedding"))
    return _cut(Encodings(tokens, embedding, every.mask), inputs)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that have to be encoded, and for every row the number of its own among them; a key of 0 is no other's."""
    seen: dict[int, int] = {}
    rows: list[int] = []
    place: list[int] = []
    for row, key in enumerate(keys.tolist()):
        if key == 0 or key not in seen:
            seen[key] = len(rows)
            rows.append(row)
        place.append(seen[key])
    return torch.tensor(rows), torch.tensor(place)


def length_buckets(lengths: Tensor, most: int = MOST_BUCKETS, price: int = PASS) -> list[Tensor]:
    """Row numbers in buckets, long ones first: the fewest padded tokens, where each bucket costs `price` tokens."""
    order = lengths.argsort(descending=True, stable=True)
    sides = [-(-length // STRIDE) * STRIDE for length in lengths[order].tolist()]
    starts = [0, *(row for row in range(1, len(sides)) if sides[row] != sides[row - 1])]
    ends = [*starts[1:], len(sides)]
    # best[k][i]: tokens of all from the i-th length on, in at most k buckets; and where the first of them ends.
    best: list[list[tuple[float, int]]] = [[(float("inf"), 0)] * len(starts) + [(0.0, 0)]]
    for _ in range(most):
        rows = [
            min(
                (sides[first] * (ends[last] - first) + price + best[-1][last + 1][0], last + 1)
                for last in range(number, len(starts))
            )
            for number, first in enumerate(starts)
        ]
        best.append([*rows, (0.0, len(starts))])
    buckets, at = [], 0
    for left in range(most, 0, -1):
        if at == len(starts):
            break
        until = best[left][at][1]
        buckets.append(order[starts[at] : ends[until - 1]])
        at = until
    return buckets


def _encode(model: XLIPModel, every: TextBatch, rows: Tensor, longest: int) -> Encodings:
    length = max(1, *every.lengths[rows].tolist())
    index = rows.to(every.ids.device, non_blocking=True)
    ids, mask = (one[index, :length] for one in (every.ids, every.mask))
    part = TextBatch(ids, mask, every.group[rows, :length], every.is_entity[rows, :length], every.lengths[rows])
    encoded = model.texts(part)
    return Encodings(F.pad(encoded.tokens, (0, 0, 0, longest - length)), encoded.embedding, mask)


def _cut(encoded: Encodings, inputs: dict[str, TextBatch]) -> dict[str, Encodings]:
    parts, start = {}, 0
    for name, text in inputs.items():
        rows, length = slice(start, start + len(text)), text.ids.shape[1]
        parts[name] = Encodings(encoded.tokens[rows, :length], encoded.embedding[rows], encoded.mask[rows, :length])
        start += len(text)
    return parts
