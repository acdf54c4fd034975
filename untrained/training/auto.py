"""The recipe `auto`: chosen for the images, for how long is trained, and for the device."""

import math

import torch

from untrained.images.dataset import Images
from untrained.training.balancing import imbalance
from untrained.training.recipe import Recipe

SHOWN, FEWEST, MOST = 60_000, 20, 50
"Images that a training shows at least, repetitions included; and epochs, within which it does."
UNEQUAL = 2.0
"How many times as many images the largest class has, from which on the loss makes up for it."
CROPPED, CUT, LONG = 30, 40, 100
"Epochs from which on images are cropped, have parts cut out, and are altered and mixed."


def auto_recipe(images: Images, *, epochs: int | None = None, device: str = "cpu") -> Recipe:
    """The recipe for these images.

    | choice | is |
    |---|---|
    | epochs | as asked; else so many that 60,000 images are shown, from 20 to 50 |
    | optimizer | AdamW, learning rate .004, decay .05 of weights alone |
    | batch | 64 |
    | schedule | by step: up over a tenth of the epochs, at least one, and down along a cosine |
    | label smoothing | .1 |
    | flip | colour images |
    | crop | from 30 epochs |
    | cutout, a quarter of the side | from 40 epochs, at 16 pixels and more |
    | TrivialAugment, mixup .2 | from 100 epochs, at 16 pixels and more |
    | average of weights, .999 | from 40 epochs |
    | balance .5 | where the largest class has twice the images of the smallest, or more |
    | precision | bfloat16 where the processor or the GPU has its arithmetic |
    | channels last | on a CPU |

    The first six, crop, precision and the order of channels were measured (`docs/training.md`);
    thresholds of longer trainings are usual practice.

    Args:
        images: their number, size, channels and classes decide.
        epochs: how long is trained; None leaves that to the recipe.
        device: where is trained.
    """
    if epochs is None:
        epochs = min(max(math.ceil(SHOWN / len(images.train)), FEWEST), MOST)
    side = min(images.shape[1:])
    large = side >= 16
    cuda = torch.device(device).type == "cuda"
    return Recipe(
        epochs=epochs,
        optimizer="adamw",
        batch=64,
        learning_rate=4e-3,
        weight_decay=0.05,
        warm_up=max(1, epochs // 10),
        label_smoothing=0.1,
        crop=epochs >= CROPPED,
        cutout=side // 4 if large and epochs >= CUT else 0,
        trivial_augment=large and epochs >= LONG,
        mixup=0.2 if large and epochs >= LONG else 0.0,
        ema=0.999 if epochs >= CUT else 0.0,
        balance=0.5 if imbalance(images) >= UNEQUAL else 0.0,
        precision="bfloat16" if computes_in_bfloat16(device) else "float32",
        channels_last=not cuda,
    )


def computes_in_bfloat16(device: str) -> bool:
    """Whether the device has instructions for it; without, it is slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not hasattr(torch.cpu, "get_capabilities"):  # older torch does not tell
        return False
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def notes_on(images: Images, recipe: Recipe) -> tuple[str, ...]:
    """What there is to say of these images to whoever trains with this recipe, one line each."""
    if imbalance(images) < UNEQUAL:
        return ()
    counts = torch.bincount(images.train.labels, minlength=len(images.classes))
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    done = "nothing makes up for it; try --training.balance 0.5"
    if recipe.balance:
        done = f"in the loss, a class of n images weighs n^-{recipe.balance:g}"
    return (
        f"classes are unequal: {counts[largest]} training images of {images.classes[largest]}, "
        f"{counts[smallest]} of {images.classes[smallest]}; {done}",
    )
