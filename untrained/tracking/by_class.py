"""What a kernel knows of each class, against all others together.

    y_c = 1 for an image of class c, 0 for another,    L_c = 1 where y_c,i = y_c,j, -1 elsewhere

    alignment            the correlation of Theta and L_c: LGA of the labels "c" and "not c"
    centred alignment    y_c^T H Theta H y_c / (||H Theta H|| ||H y_c||^2), CKA of Theta and L_c
    label energy         sum_{i <= K} (u_i . H y_c)^2 / ||H y_c||^2, u_i the top eigenvectors

with H = I - 1 1^T / n. Of the first, most entries are pairs of other classes, so that it falls
where the kernel sets these apart; the other two see only what sets class c apart from the rest.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from untrained.analysis.alignment import centred_alignment, label_alignment, label_kernel
from untrained.analysis.label_energy import LabelEnergy
from untrained.estimate import Quantity


@dataclass(frozen=True)
class ClassAlignment:
    """One class of the probe at an epoch; without values where the probe has no other."""

    label: int
    "Its index among the classes."
    images: int
    "Of the probe."
    alignment: Quantity
    "Correlation of Theta_t with the label kernel of this class against the rest."
    centred_alignment: Quantity
    "The same once rows and columns are centred (CKA)."
    label_energy: Quantity
    "Share of this class's label in the top K eigenvectors of Theta_t, K the number of classes."


def by_class(
    theta: Float[Tensor, "n n"], labels: Int[Tensor, " n"], energy: LabelEnergy, top: int
) -> tuple[ClassAlignment, ...]:
    """Each class that has an image, in order.

    Args:
        theta: the kernel.
        labels: of its images.
        energy: of these labels along the kernel's eigenvectors.
        top: how many eigenvectors count.
    """
    shares = energy.by_class[:top].sum(0).tolist()
    found = []
    for k, label in enumerate(labels.unique().tolist()):
        own = (labels == label).long()
        found.append(
            ClassAlignment(
                label=label,
                images=int(own.sum()),
                alignment=label_alignment(theta, own),
                centred_alignment=centred_alignment(theta, label_kernel(own).to(theta.device)),
                label_energy=Quantity(None, energy.reason)
                if energy.reason
                else Quantity(shares[k]),
            )
        )
    return tuple(found)
