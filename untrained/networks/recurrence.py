"""Recurrent layers, made of calls that can be seen one by one.

`torch.lstm`, `torch.gru` and `torch.rnn_*` are one call each that hides all parameters of all
layers. Step by step they are linear layers and functions of entries:

    LSTM    i, f, g, o = W x_t + b + U h + u;   c = s(f) c + s(i) tanh(g);   h = s(o) tanh(c)
    GRU     r, z, m = W x_t + b;   r', z', m' = U h + u
            h = (1 - s(z + z')) tanh(m + s(r + r') m') + s(z + z') h
    RNN     h = tanh(W x_t + b + U h + u), or ReLU in place of tanh

with s the logistic function.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from untrained.networks.interception import Function

State = tuple[Tensor, ...]
"h, and of an LSTM c."


def _lstm(x: Tensor, u: Tensor, state: State) -> State:
    i, f, g, o = (x + u).chunk(4, 1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru(x: Tensor, u: Tensor, state: State) -> State:
    (r, z, m), (r_h, z_h, m_h) = x.chunk(3, 1), u.chunk(3, 1)
    kept = (z + z_h).sigmoid()
    return ((1 - kept) * (m + (r + r_h).sigmoid() * m_h).tanh() + kept * state[0],)


def _tanh(x: Tensor, u: Tensor, state: State) -> State:
    return ((x + u).tanh(),)


def _relu(x: Tensor, u: Tensor, state: State) -> State:
    return ((x + u).relu(),)


CELLS: dict[Function, Callable[[Tensor, Tensor, State], State]] = {
    torch.lstm: _lstm,
    torch.gru: _gru,
    torch.rnn_tanh: _tanh,
    torch.rnn_relu: _relu,
}
"From W x_t + b, U h + u and the state to the next state."


def fits(func: Function, args: Sequence[Any], kwargs: Any) -> bool:
    """Whether this is a recurrence over a batch, without packing, projections and dropout."""
    if func not in CELLS or len(args) != 9 or kwargs or not isinstance(args[2], list | tuple):
        return False
    _, _, parameters, biases, layers, dropout, training, both, _ = args
    each = 4 if biases else 2
    return len(parameters) == each * layers * (1 + both) and not (dropout and training)


def recurrence(
    func: Function,
    x: Tensor,
    first: Tensor | Sequence[Tensor],
    parameters: Sequence[Tensor],
    biases: bool,
    layers: int,
    dropout: float,
    training: bool,
    both: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """As PyTorch's function `func` of the same arguments: outputs, and last states."""
    firsts = [first] if isinstance(first, Tensor) else list(first)
    each, ends = 4 if biases else 2, []
    time = 1 if batch_first else 0
    for layer in range(layers):
        found = []
        for direction in range(1 + both):
            k = layer * (1 + both) + direction
            own = parameters[each * k : each * (k + 1)]
            outputs, end = _one_way(
                CELLS[func], x, [state[k] for state in firsts], own, time, bool(direction)
            )
            found.append(outputs)
            ends.append(end)
        x = torch.cat(found, 2) if both else found[0]
    return x, *(torch.stack(states) for states in zip(*ends, strict=True))


def _one_way(
    cell: Callable[[Tensor, Tensor, State], State],
    x: Tensor,
    state: Sequence[Tensor],
    parameters: Sequence[Tensor],
    time: int,
    backwards: bool,
) -> tuple[Tensor, State]:
    """One layer in one direction: h at every time, and the last state."""
    w, u, *biases = parameters
    b_w, b_u = biases or (None, None)
    steps = F.linear(x, w, b_w).unbind(time)
    # A zero of the examples, so that a first state that is nobody's is theirs as well.
    zero = 0 * steps[0][:, : u.shape[1]]
    state, outputs = tuple(each + zero for each in state), []
    for step in reversed(steps) if backwards else steps:
        recurrent = F.linear(state[0], u, b_u)
        with torch._C.DisableTorchFunction():  # no parameter is met here
            state = cell(step, recurrent, state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs, time), state
