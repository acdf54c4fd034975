"""What hinders a network's training, from Python."""

from contextlib import ExitStack
from typing import Unpack

from torch import Tensor, nn

from untrained import inspection
from untrained.front.asked import Network, Pictures, named_network, with_images
from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import InspectFlags
from untrained.images import Probe
from untrained.inspection import Inspection
from untrained.inspection.config import InspectConfig
from untrained.inspection.inspecting import inspect_one


@takes_flags(InspectConfig, "images", "out")
def inspect(
    network: Network,
    images: Pictures = "digits",
    labels: Tensor | None = None,
    *,
    config: InspectConfig = InspectConfig(),  # noqa: B008  # a frozen value
    **flags: Unpack[InspectFlags],
) -> Inspection:
    """Says what hinders a network's training, before it is trained; as `untrained inspect`.

    Args:
        network: any nn.Module as it is now, which is left so; a function or class that makes one,
            or its `package.module:name`; or an architecture of `space`.
        images: as of `search`, of which `probe` training images are drawn; a probe; or, of an
            nn.Module, a batch as the network is to see it.
        labels: classes of a batch; without them, the loss is a mean over all classes.
        config: what the flags change.
        flags: as of `InspectConfig`, which says what each means.

    Raises:
        ValueError: outputs that are not a row of numbers for each image, or not one for each
            class; fewer than two images, or NaN among them; whatever the network itself raises.
        OSError: images that are missing.

    Example:
        >>> import torch, untrained
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> with torch.no_grad():
        ...     _ = network[1].bias.fill_(-10)
        >>> print(untrained.inspect(network, "digits").findings[0].title)
        dead units at layer 2
    """
    asked = configured(config, flags)
    if isinstance(images, Tensor | Probe):
        if not isinstance(network, nn.Module):
            raise ValueError(f"expected an nn.Module beside a batch of images, got {network!r}")
        return inspection.inspect(network, images, labels, seed=asked.seed)
    if labels is not None:
        raise ValueError("labels: expected none beside images that have labels, got some")
    with ExitStack() as stack:
        asked = with_images(asked, images, stack)
        return inspect_one(named_network(network, stack), asked)
