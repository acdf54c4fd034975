"""Published recipes for networks of the DARTS space, by name.

Each is a plain value: `replace(get_recipe("darts_cifar10"), epochs=20)` trains for 20 epochs, and
schedule and drop path shrink with it. On images smaller than 32 pixels make `cutout` smaller too,
half a side; on a network without auxiliary head or drop path set `auxiliary` or `drop_path` to 0.

All of these were published with the weights of the last epoch and no validation split; `train`
ends with those of the best epoch on the validation images. Those for ImageNet cut parts out of
larger pictures and jitter the hue by 0.2 too; here the parts are of the pictures as they were
loaded, and hues stay.
"""

from dataclasses import replace

from untrained.plugins import find
from untrained.training.recipe import Recipe

# Liu, Simonyan and Yang 2019, DARTS: Differentiable Architecture Search, section 3.3 and appendix
# A, https://arxiv.org/abs/1806.09055. Of its code, not of the paper: the clip, decay of every
# parameter, plain momentum, one rate an epoch, and the growth of the drop path.
_DARTS_CIFAR10 = Recipe(
    epochs=600,
    batch=96,
    learning_rate=0.025,
    momentum=0.9,
    nesterov=False,
    weight_decay=3e-4,
    decay_all=True,
    schedule="cosine",
    clock="epoch",
    warm_up=0,
    clip=5.0,
    cutout=16,
    drop_path=0.2,
    auxiliary=0.4,
)

# The same paper and code; auxiliary weight, label smoothing, random parts and jitter stand in the
# code alone.
_DARTS_IMAGENET = replace(
    _DARTS_CIFAR10,
    epochs=250,
    batch=128,
    learning_rate=0.1,
    weight_decay=3e-5,
    schedule="exponential",
    label_smoothing=0.1,
    crop=False,
    resized_crop=True,
    jitter=0.4,
    cutout=0,
    drop_path=0.0,
)

RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    # To see in minutes which of several networks will be better.
    "calibration": Recipe(epochs=5),
    # For the training before scores: one rate throughout, so that two epochs begin with one. The
    # rate is that of LGA's code, with which kernels say more of a network than with 0.1.
    "short": Recipe(epochs=1, learning_rate=0.025, schedule="constant", warm_up=0),
    "darts_cifar10": _DARTS_CIFAR10,
    "darts_imagenet": _DARTS_IMAGENET,
    # Chen, Gong and Wang 2021, Neural Architecture Search on ImageNet in Four GPU Hours,
    # appendix A, https://arxiv.org/abs/2102.11535: learning rate, cosine, cutout, drop path and
    # auxiliary weight. It trains as P-DARTS and PC-DARTS do, whence clip, decay and 600 epochs.
    # Unsure: the batch. This is that of DARTS; P-DARTS has 128.
    "te_nas_cifar10": replace(_DARTS_CIFAR10, drop_path=0.3),
    # The same: learning rate, cosine, label smoothing. The batch of 768 is of its code's README,
    # on 8 GPUs. Unsure: 250 epochs, 5 of warm-up, decay, clip, auxiliary weight and alterations
    # are those of P-DARTS (Chen et al. 2019, https://arxiv.org/abs/1904.12760), which falls
    # linearly.
    "te_nas_imagenet": replace(
        _DARTS_IMAGENET, batch=768, learning_rate=0.5, schedule="cosine", warm_up=5
    ),
    # Mok, Na, Kim, Han and Yoon 2022, Demystifying the Neural Tangent Kernel from a Practical
    # Perspective, https://arxiv.org/abs/2203.14577: of its code, for kernels after an epoch.
    "lga": Recipe(
        epochs=1,
        batch=1024,
        learning_rate=0.025,
        nesterov=False,
        weight_decay=3e-4,
        decay_all=True,
        schedule="constant",
        warm_up=0,
    ),
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, or the one that `package.module:name` points to.

    Raises:
        ValueError: unknown name; the nearest ones are said.

    Example:
        >>> get_recipe("te_nas_cifar10").drop_path
        0.3
    """
    return find("recipe", name, RECIPES, Recipe)
