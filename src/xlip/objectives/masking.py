"""Which patches and which words are hidden. Everywhere `True` = hidden. Pure functions of scores and random numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from xlip.batches.draws import Draws, uniform

MODES = ("high", "blend", "hint", "low", "random")


def mask_patches(response: Tensor, *, ratio: float, mode: str, attention_share: float, generator: Draws) -> Tensor:
    """Hide round(ratio * N) patches of every image (docs/method.md, masks).

    Args:
        response: (B, N) response of each patch to the text; higher = answers more. No gradient flows.
        ratio: share hidden, in (0, 1).
        mode: `high` hides the top responses; `blend` half top, half random; `hint` the top ones except a quarter of
            them, drawn at random, that stay visible (more random patches are hidden in their place); `low` the bottom
            responses; `random` ignores the response.
        attention_share: share of the mode's response-picked patches that really are picked by response; the others
            are random. It ramps from 0 to 1 because responses are noise at the start.
        generator: CPU generator, or one for each row.

    Returns:
        (B, N) bool with exactly round(ratio * N) True in every row.
    """
    rows, patches = response.shape
    hidden = round(ratio * patches)
    noise = uniform(generator, rows, patches).to(response.device)
    second_noise = uniform(generator, rows, patches).to(response.device)
    response = response.detach().float()
    if mode == "random":
        return _top(noise, hidden)
    ranked = _ranks(-response if mode == "low" else response, noise)
    picked = round(hidden * {"high": 1.0, "low": 1.0, "blend": 0.5, "hint": 0.75}[mode] * attention_share)
    # `hint`: candidates are the top `hidden` patches, of which `picked` are hidden and a quarter stays visible.
    candidates = round(hidden * attention_share) if mode == "hint" else picked
    by_response = _top(torch.where(ranked < candidates, second_noise + 1, -ranked.float()), picked)
    kept_visible = (ranked < candidates) & ~by_response
    filler = noise.masked_fill(kept_visible, noise.new_tensor(-1.0)).masked_fill(by_response, 2.0)
    return _top(filler, hidden)


def told_apart(response: Tensor, generator: Draws) -> Tensor:
    """The response, each place of which is larger by a random share of up to 1 / 256, (B, N).

    Places that show the same (the black around a film) answer equally but for rounding, which depends on how many
    images are computed together: it would choose among them, differently on every rank. The shares are the same
    everywhere and far larger. Rounding the response to steps would leave its own edges, on which rounding decides.

    Args:
        response: (B, N).
        generator: CPU generator, or one for each row.
    """
    response = response.detach().float()
    return response * (1 + uniform(generator, *response.shape).to(response.device) / 256)


def mask_words(group: Tensor, is_entity: Tensor, *, p_entity: float, p_other: float, generator: Draws) -> Tensor:
    """Hide whole entities with p_entity and other whole words with p_other (docs/method.md, EntMLM).

    At least one entity is hidden in every text that has one.

    Args:
        group: (B, T) unit number of each token, -1 for special tokens and padding.
        is_entity: (B, T).
        p_entity: probability that an entity is hidden.
        p_other: probability that another word is hidden.
        generator: CPU generator, or one for each row.

    Returns:
        (B, T) bool; all tokens of a unit are hidden or visible together, special tokens are never hidden.
    """
    rows, tokens = group.shape
    draw = uniform(generator, rows, tokens).to(group.device)
    draw = draw.gather(1, group.clamp(min=0))
    threshold = torch.where(is_entity, p_entity, p_other)
    hidden = draw < threshold
    entity_draw = draw.masked_fill(~is_entity, 2.0)
    lowest = entity_draw.min(1, keepdim=True).values
    forced = is_entity & (entity_draw == lowest)
    return (hidden | forced) & (group >= 0)


def ramp(progress: float, end: float) -> float:
    """0 at the start of training, 1 from the share `end` of it on, linear between."""
    return 1.0 if end <= 0 else min(1.0, progress / end)


def _ranks(score: Tensor, noise: Tensor) -> Tensor:
    """Rank of each patch in its row, 0 = highest score; equal scores are ordered by noise."""
    shuffled = noise.argsort(1)
    order = shuffled.gather(1, score.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    return order.argsort(1)


def _top(score: Tensor, count: int) -> Tensor:
    chosen = torch.zeros(score.shape, dtype=torch.bool, device=score.device)
    return chosen.scatter(1, score.topk(count, dim=1).indices, True)
