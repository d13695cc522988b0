"""Low-rank adapters in the attention of a tower (Hu et al. 2021, arXiv:2106.09685), by way of peft (extra `lora`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xlip.errors import XLIPError

TARGETS = (
    r".*\.(?:attention|self_attn|attn|attention\.self)\.(?:.*\.)?"
    r"(?:q_proj|k_proj|v_proj|o_proj|out_proj|query|key|value|dense|query_proj|key_proj|value_proj|Wqkv|Wo)"
)
"""The projections of every block's attention, in any naming of transformers."""
OWN, BASE = ".lora_", ".base_layer"
"""What peft puts into the names of an adapter's weights, and of the layer that it adapts."""


def add_adapters(encoder: nn.Module, rank: int, option: str) -> None:
    """Put adapters into an encoder, in place, and freeze all else of it; they start at zero, so nothing changes yet.

    Raises:
        XLIPError: peft is not installed, or the encoder has none of the target layers.
    """
    try:
        import peft
    except ImportError as error:
        raise XLIPError(f"{option}: needs the package peft; install it with `pip install 'xlip[lora]'`") from error
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS), encoder)
    except ValueError as error:
        raise XLIPError(f"{option}: no layer to adapt in this tower ({error}); take 0") from error


def plain_weights(model: nn.Module) -> dict[str, Tensor] | None:
    """The weights of a model without adapters: these are added to what they adapt; None where there are none."""
    state: dict[str, Tensor] = model.state_dict()
    if not any(OWN in name for name in state):
        return None
    plain = {name.replace(BASE, ""): value for name, value in state.items() if OWN not in name}
    for path, module in model.named_modules():
        adapted: Any = module
        if hasattr(module, "lora_A") and hasattr(module, "get_delta_weight"):
            name = f"{path}.weight"
            plain[name] = plain[name] + adapted.get_delta_weight("default").to(plain[name].dtype)
    return plain


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    """The adapters, and the layers that they adapt as they were: what `plain_weights` mixes."""
    return {name: value for name, value in model.state_dict().items() if OWN in name or BASE in name}
