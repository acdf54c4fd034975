"""`torch_default` against new layers of torch: every class of `torch.nn` that has parameters."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from untrained.networks.weights import draw_weights


def seeded(layer: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return layer()


def met(layer: nn.Module, *shape: int) -> nn.Module:
    """A lazy layer once it has seen an input."""
    layer(torch.zeros(shape))
    return layer


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "AdaptiveLogSoftmaxWithLoss": lambda: nn.AdaptiveLogSoftmaxWithLoss(40, 90, [30, 60]),
    "BatchNorm1d": lambda: nn.BatchNorm1d(9),
    "BatchNorm2d": lambda: nn.BatchNorm2d(9),
    "BatchNorm3d": lambda: nn.BatchNorm3d(9),
    "Bilinear": lambda: nn.Bilinear(6, 30, 200),
    "Conv1d": lambda: nn.Conv1d(8, 300, 3),
    "Conv2d": lambda: nn.Conv2d(8, 300, 3, groups=4),
    "Conv3d": lambda: nn.Conv3d(4, 300, 2),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(20, 300, 3, stride=2),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(8, 300, 3, groups=4),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(4, 300, 2),
    "Embedding": lambda: nn.Embedding(90, 20, padding_idx=3),
    "EmbeddingBag": lambda: nn.EmbeddingBag(90, 20, padding_idx=3),
    "GRU": lambda: nn.GRU(20, 100, 2, bidirectional=True),
    "GRUCell": lambda: nn.GRUCell(20, 100),
    "GroupNorm": lambda: nn.GroupNorm(3, 9),
    "InstanceNorm1d": lambda: nn.InstanceNorm1d(9, affine=True),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(9, affine=True),
    "InstanceNorm3d": lambda: nn.InstanceNorm3d(9, affine=True),
    "LSTM": lambda: nn.LSTM(20, 100, proj_size=30),
    "LSTMCell": lambda: nn.LSTMCell(20, 100),
    "LayerNorm": lambda: nn.LayerNorm((3, 4)),
    "LazyBatchNorm1d": lambda: met(nn.LazyBatchNorm1d(), 2, 9),
    "LazyBatchNorm2d": lambda: met(nn.LazyBatchNorm2d(), 2, 9, 4, 4),
    "LazyBatchNorm3d": lambda: met(nn.LazyBatchNorm3d(), 2, 9, 2, 2, 2),
    "LazyConv1d": lambda: met(nn.LazyConv1d(300, 3), 2, 8, 5),
    "LazyConv2d": lambda: met(nn.LazyConv2d(300, 3), 2, 8, 5, 5),
    "LazyConv3d": lambda: met(nn.LazyConv3d(300, 2), 2, 4, 3, 3, 3),
    "LazyConvTranspose1d": lambda: met(nn.LazyConvTranspose1d(300, 3), 2, 8, 5),
    "LazyConvTranspose2d": lambda: met(nn.LazyConvTranspose2d(300, 3), 2, 8, 5, 5),
    "LazyConvTranspose3d": lambda: met(nn.LazyConvTranspose3d(300, 2), 2, 4, 3, 3, 3),
    "LazyInstanceNorm1d": lambda: met(nn.LazyInstanceNorm1d(affine=True), 2, 9, 4),
    "LazyInstanceNorm2d": lambda: met(nn.LazyInstanceNorm2d(affine=True), 2, 9, 4, 4),
    "LazyInstanceNorm3d": lambda: met(nn.LazyInstanceNorm3d(affine=True), 2, 9, 2, 2, 2),
    "LazyLinear": lambda: met(nn.LazyLinear(300), 2, 40),
    "Linear": lambda: nn.Linear(40, 300),
    "MultiheadAttention": lambda: nn.MultiheadAttention(60, 4),
    "MultiheadAttention, kdim and vdim": lambda: nn.MultiheadAttention(60, 4, kdim=90, vdim=30),
    "MultiheadAttention, bias_kv": lambda: nn.MultiheadAttention(400, 4, add_bias_kv=True),
    "MultiheadAttention, no bias": lambda: nn.MultiheadAttention(60, 4, bias=False),
    "PReLU": lambda: nn.PReLU(5),
    "RMSNorm": lambda: nn.RMSNorm(9),
    "RNN": lambda: nn.RNN(20, 100),
    "RNNCell": lambda: nn.RNNCell(20, 100),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(9),
    "Transformer": lambda: nn.Transformer(48, 2, 1, 1, 90, batch_first=True),
    "TransformerDecoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(48, 2, 90), 1),
    "TransformerDecoderLayer": lambda: nn.TransformerDecoderLayer(48, 2, 90),
    "TransformerEncoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(48, 2, 90, batch_first=True), 1
    ),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(48, 2, 90),
}
# Of later versions of torch than the oldest that is supported.
if hasattr(nn, "LinearCrossEntropyLoss"):
    LAYERS["LinearCrossEntropyLoss"] = lambda: nn.LinearCrossEntropyLoss(40, 300, bias=True)

WITHOUT = """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d ChannelShuffle CircularPad1d CircularPad2d
CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Container CrossMapLRN2d DataParallel Fold
FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d LocalResponseNorm MaxPool1d
MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d Module NLLLoss2d PixelShuffle
PixelUnshuffle RNNBase RNNCellBase ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
ReplicationPad2d ReplicationPad3d Threshold Unflatten Unfold ZeroPad1d ZeroPad2d ZeroPad3d
"""  # classes that need arguments and have no parameters of their own, or are abstract


def test_no_class_of_torch_is_forgotten() -> None:
    """Any other class can be made without arguments, and has no parameters."""
    classes = {n: c for n, c in vars(nn).items() if isinstance(c, type)}
    modules = {n for n, c in classes.items() if issubclass(c, nn.Module)}
    named = {name.split(",")[0] for name in LAYERS}
    assert named <= modules
    for name in modules - named - set(WITHOUT.split()):
        assert not list(classes[name]().parameters()), name


def distance(a: Tensor, b: Tensor) -> float:
    """Kolmogorov's and Smirnov's statistic over its critical value of 0.1 %."""
    values = torch.cat([a, b]).sort().values
    a_below, b_below = (torch.searchsorted(s.sort().values, values, right=True) for s in (a, b))
    gap = (a_below / len(a) - b_below / len(b)).abs().max()
    return gap.item() / (1.95 * ((len(a) + len(b)) / (len(a) * len(b))) ** 0.5)


@pytest.mark.parametrize("name", LAYERS)
def test_torch_default_is_the_law_of_a_new_layer(name: str) -> None:
    layer, new = seeded(LAYERS[name]), dict(seeded(LAYERS[name], 1).named_parameters())
    draw_weights(layer, "torch_default", torch.Generator().manual_seed(0))
    for key, drawn in layer.named_parameters():
        ours, theirs = drawn.detach().flatten(), new[key].detach().flatten()
        if (theirs == theirs[0]).all():
            assert torch.equal(ours, theirs), key
            continue
        assert distance(ours, theirs) < 1, key
        if len(ours) > 1000:
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.06), key
        zero = (theirs == 0).sum()  # the row of a padding word
        assert (ours == 0).sum() == zero, key


@pytest.mark.parametrize("name", LAYERS)
def test_other_laws_know_biases(name: str) -> None:
    layer = seeded(LAYERS[name])
    draw_weights(layer, "kaiming_fan_in", torch.Generator().manual_seed(0))
    for key, p in layer.named_parameters():
        assert bool(p.any()) == ("bias" not in key), key


def test_a_bilinear_form_and_attention_have_the_laws_of_their_documentation() -> None:
    form, packed = nn.Bilinear(6, 30, 200), nn.MultiheadAttention(60, 4)
    apart = nn.MultiheadAttention(60, 4, kdim=90, vdim=30)
    for layer in (form, packed, apart):
        draw_weights(layer, "torch_default", torch.Generator().manual_seed(0))
    for weight, bound in [
        (form.weight, 6**-0.5),
        (packed.in_proj_weight, (6 / (60 + 180)) ** 0.5),
        (apart.k_proj_weight, (6 / (60 + 90)) ** 0.5),
        (apart.v_proj_weight, (6 / (60 + 30)) ** 0.5),
    ]:
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
