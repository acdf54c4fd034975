"""What the page of an inspection draws, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from untrained.inspection.inspection import Inspection


@dataclass(frozen=True)
class Curve:
    """One quantity of each layer, in the order of the program."""

    title: str
    meaning: str
    axis: Literal["log", "linear", "share"]
    values: tuple[float | None, ...]
    "None where a layer has none."

    @property
    def known(self) -> list[int]:
        """Numbers of the layers that have one, on a log axis above 0."""
        return [
            k for k, v in enumerate(self.values) if v is not None and (v > 0 or self.axis != "log")
        ]


def curves_of(inspection: Inspection) -> tuple[Curve, ...]:
    """Those that are known of at least two layers."""
    frame = inspection.layers
    correlations = frame["correlation"].to_list()
    differences = [None if c is None else max(1 - c, LEAST) for c in correlations]
    found = (
        Curve(
            "Signal",
            "RMS of each layer's output. It should neither grow nor fade on the trunk.",
            "log",
            (*frame["rms"],),
        ),
        Curve(
            "Gradient",
            "Norm, per image, of the gradient of a random sum of outputs by each layer's output.",
            "log",
            (*frame["gradient_norm"],),
        ),
        Curve(
            "How different images are",
            "1 - correlation of two images. Where it falls to 0, the network sees one image.",
            "log",
            tuple(differences),
        ),
        Curve(
            "Rank of features",
            "Effective number of directions in which images differ; at most one less than images.",
            "linear",
            (*frame["rank"],),
        ),
        Curve(
            "Flat entries of activations",
            "Share of entries through which less than a hundredth of a gradient passes; half is "
            "usual for ReLU.",
            "share",
            (*frame["flat"],),
        ),
        Curve(
            "Dead units of activations",
            "Share of channels or features that are flat for every image, at every position.",
            "share",
            (*frame["dead"],),
        ),
    )
    return tuple(curve for curve in found if len(curve.known) > 1)


LEAST = 1e-16
"1 - correlation of images that are the same to float64."


def kernel_shares(inspection: Inspection, most: int = 24) -> tuple[tuple[str, float], ...]:
    """Parameters with their shares of the NTK's trace, in order; of many, the largest ones."""
    rows: Sequence[tuple[str, float | None]] = [
        *inspection.parameters.select("parameter", "ntk_share").iter_rows()
    ]
    known = [(name, share) for name, share in rows if share is not None]
    least = sorted((share for _, share in known), reverse=True)[:most]
    return tuple((name, share) for name, share in known if share >= least[-1]) if least else ()
