"""Multi-head self-attention, made of calls that can be seen one by one.

`torch.nn.functional.multi_head_attention_forward` is one call that hides four parameters. For
self-attention it is the same as two linear layers with

    softmax(Q K^T / sqrt(d)) V,    (Q, K, V) = X W_in^T + b_in

between them, per head of d features.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def fits(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> bool:
    """Whether this is self-attention of a batch, without the rarer options."""
    return (
        query is key
        and key is value
        and query.ndim == 3
        and not any(
            option is not None and option is not False
            for option in (*args[4:7], *(kwargs.get(name) for name in _RARE))
        )
    )


_RARE = (
    "bias_k",
    "bias_v",
    "add_zero_attn",
    "key_padding_mask",
    "use_separate_proj_weight",
    "static_k",
    "static_v",
)


def self_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor | None,
    bias_k: None,
    bias_v: None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = False,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    **rare: Any,
) -> tuple[Tensor, Tensor | None]:
    """As PyTorch's function of the same arguments: (t, n, e) -> (t, n, e), and the weights."""
    t, n, e = query.shape
    projected = F.linear(query, in_proj_weight, in_proj_bias)
    # (t, n, 3 e) -> three of (n, heads, t, d)
    q, k, v = projected.view(t, n, 3, num_heads, e // num_heads).permute(2, 1, 3, 0, 4)
    if attn_mask is not None and attn_mask.ndim == 3:
        attn_mask = attn_mask.view(n, num_heads, t, t)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill(attn_mask, -torch.inf)
    scores = q @ k.mT / (e // num_heads) ** 0.5
    weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
    heads = (weights @ v).permute(2, 0, 1, 3).reshape(t, n, e)
    output = F.linear(heads, out_proj_weight, out_proj_bias)
    if not need_weights:
        return output, None
    return output, weights.mean(1) if average_attn_weights else weights
