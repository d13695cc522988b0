"""The two decoders: one fills in hidden image patches with the text's help, one hidden words with the image's help.

Both are the same stack of `CrossBlock`s (docs/method.md, AttMIM and EntMLM). Masks follow one rule:
`True` = real token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention of queries (B, Q, W) over context (B, C, W); without a context, over themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (B, Q, W). `mask` (B, C), True = real; a row needs at least one real token."""
        query, key, value = self._split(x, context)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=_broadcast(mask))
        merged: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return merged

    def weights(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """The attention weights (B, Q, C), mean over heads, in fp32."""
        query, key, _ = self._split(x, context)
        logits = query.float() @ key.float().transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], -torch.inf)
        share: Tensor = logits.softmax(-1).mean(1)
        return share

    def _split(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        key, value = self.key_value(context).chunk(2, dim=-1)
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.query(x), key, value))
        return query, key, value


class CrossBlock(nn.Module):
    """Pre-norm transformer block: self-attention, cross-attention to a context, MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend_self(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The self-attention half of the block, (B, Q, W)."""
        normed = self.norm_self(x)
        attended: Tensor = x + self.self_attention(normed, normed, mask)
        return attended

    def forward(self, x: Tensor, mask: Tensor | None, context: Tensor, context_mask: Tensor | None) -> Tensor:
        """X (B, Q, W) with `mask` (B, Q); context (B, C, W) with `context_mask` (B, C). Returns (B, Q, W)."""
        x = self.attend_self(x, mask)
        x = x + self.cross_attention(self.norm_cross(x), context, context_mask)
        mixed: Tensor = x + self.mlp(self.norm_mlp(x))
        return mixed


class Modulation(nn.Module):
    """Scales and shifts every token by what the other side as a whole says: x (1 + a) + b, a and b linear in its
    embedding.

    Feature-wise linear modulation (Perez et al. 2018, arXiv:1709.07871), which starts as the identity. A decoder that
    has only the tokens of the other side to attend to learns within hundreds of steps to ignore them: which token
    matters depends on what all of them say, while the joint embedding, which the contrastive terms shape, says it in
    one vector. The factor (1 + a) lets what the text says depend on the place (`docs/log.md`). Not in the paper.
    """

    def __init__(self, embed_dim: int, width: int) -> None:
        super().__init__()
        self.of_embedding = nn.Linear(embed_dim, 2 * width)
        self.of_nothing = nn.Parameter(torch.zeros(2 * width))

    def reset_parameters(self) -> None:
        """Start as the identity: a = b = 0."""
        nn.init.zeros_(self.of_embedding.weight)
        nn.init.zeros_(self.of_embedding.bias)

    def forward(self, x: Tensor, embedding: Tensor, there: Tensor) -> Tensor:
        """X (B, N, W); embedding (B, E), L2-normalised; there (B,), False = no such text or image."""
        unit_variance = embedding.to(x.dtype) * embedding.shape[-1] ** 0.5
        said = torch.where(there[:, None], self.of_embedding(unit_variance), self.of_nothing.to(x.dtype))
        factor, shift = said[:, None].chunk(2, -1)
        made: Tensor = x * (1 + factor) + shift
        return made


class ImageDecoder(nn.Module):
    """Predicts the pixels of every patch from visible patch features and a text (docs/method.md, AttMIM)."""

    def __init__(
        self,
        *,
        image_width: int,
        text_width: int,
        embed_dim: int,
        width: int,
        layers: int,
        heads: int,
        patches: int,
        patch_pixels: int,
    ) -> None:
        super().__init__()
        self.image_in = nn.Linear(image_width, width)
        self.context_in = nn.Linear(text_width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.null_token = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(patches, width) * 0.02)
        self.told = Modulation(embed_dim, width)
        self.blocks = nn.ModuleList(CrossBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.to_pixels = nn.Linear(width, patch_pixels)

    def forward(
        self, tokens: Tensor, hidden: Tensor, context: Tensor, context_mask: Tensor, embedding: Tensor
    ) -> Tensor:
        """Fill in the hidden patches.

        Args:
            tokens: patch features (B, N, D); the values at hidden patches are ignored.
            hidden: (B, N), True = hidden.
            context: text tokens (B, C, D_text).
            context_mask: (B, C), True = real; a row without one is an image without a text.
            embedding: the text in the joint space (B, E); ignored where there is none.

        Returns:
            Predicted pixels of every patch (B, N, patch_pixels), on the scale of the target.
        """
        x = self.image_in(tokens)
        x = torch.where(hidden[..., None], self.mask_token.to(x.dtype), x) + self.position
        x = self.told(x, embedding, context_mask.any(1))
        context, context_mask = _with_null(self.null_token, self.context_in(context), context_mask)
        for block in self.blocks:
            x = block(x, None, context, context_mask)
        pixels: Tensor = self.to_pixels(self.norm(x))
        return pixels


class TextDecoder(nn.Module):
    """Predicts the hidden words from the masked report's tokens and the image's tokens (docs/method.md, EntMLM).

    The image's tokens get positions of their own and, where the model has a local stem, what it saw at each patch: a
    token of the last block no longer stands for its place, and words such as 'left' ask for places.
    """

    def __init__(
        self,
        *,
        image_width: int,
        text_width: int,
        embed_dim: int,
        width: int,
        layers: int,
        heads: int,
        vocab_size: int,
        patches: int,
        local_width: int,
    ) -> None:
        super().__init__()
        self.text_in = nn.Linear(text_width, width)
        self.context_in = nn.Linear(image_width, width)
        self.local_in = nn.Linear(local_width, width, bias=False) if local_width else None
        self.position = nn.Parameter(torch.randn(patches, width) * 0.02)
        self.null_token = nn.Parameter(torch.randn(width) * 0.02)
        self.told = Modulation(embed_dim, width)
        self.blocks = nn.ModuleList(CrossBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.to_text = nn.Linear(width, text_width)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor, mask: Tensor, context: Tensor, embedding: Tensor, seen: Tensor) -> Tensor:
        """Features (B, T, D_text) for word prediction.

        Args:
            tokens: the text tower's tokens of the masked report (B, T, D_text).
            mask: (B, T), True = real.
            context: what `image_context` made of the images (B, N, width); ignored where there is none.
            embedding: the images in the joint space (B, E); ignored where there is none.
            seen: (B,), True = the text has an image.
        """
        x = self.told(self.text_in(tokens), embedding, seen)
        context, context_mask = _with_null(self.null_token, context, seen[:, None].expand(context.shape[:2]))
        for block in self.blocks:
            x = block(x, mask, context, context_mask)
        features: Tensor = self.to_text(self.norm(x))
        return features

    def image_context(self, tokens: Tensor, local: Tensor | None) -> Tensor:
        """Image tokens (B, N, D_image), and the local features of the same patches (B, N, E) -> (B, N, width)."""
        made: Tensor = self.context_in(tokens) + self.position
        if self.local_in is not None and local is not None:
            made = made + self.local_in(local)
        return made

    def logits(self, features: Tensor, word_embeddings: Tensor) -> Tensor:
        """Scores (M, vocabulary) of features (M, D_text); output weights are tied to the word embeddings."""
        return F.linear(features, word_embeddings) + self.bias

    def attention(self, tokens: Tensor, mask: Tensor, context: Tensor, embedding: Tensor) -> Tensor:
        """Where each text token looks in the image: weights (B, T, N) of the last cross-attention, mean over heads.

        `context` (B, N, width) is what `image_context` made, `embedding` (B, E) the images in the joint space; weights
        on the null token are left out.
        """
        x = self.told(self.text_in(tokens), embedding, torch.ones_like(mask[:, 0]))
        context, context_mask = _with_null(self.null_token, context, torch.ones_like(context[..., 0], dtype=torch.bool))
        *body, last = (_cross(block) for block in self.blocks)
        for block in body:
            x = block(x, mask, context, context_mask)
        query = last.norm_cross(last.attend_self(x, mask))
        weights: Tensor = last.cross_attention.weights(query, context, context_mask)
        return weights[..., 1:]


def _with_null(null: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A learned token before every context (B, C, W) with mask (B, C): having none is then a case that was trained."""
    first = null.to(context.dtype).expand(len(context), 1, -1)
    return torch.cat([first, context], 1), torch.cat([torch.ones_like(mask[:, :1]), mask], 1)


def _cross(block: nn.Module) -> CrossBlock:
    assert isinstance(block, CrossBlock)
    return block


def _broadcast(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask[:, None, None, :]
