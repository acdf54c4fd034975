"""What a kernel says: spectra, alignments, regression. No network in sight.

A kernel from elsewhere will do as well: any symmetric matrix.
"""

from untrained.analysis.alignment import (
    centred_alignment,
    correlation,
    cosine,
    label_alignment,
    relative_change,
)
from untrained.analysis.estimate import Estimate, Quantity, estimate
from untrained.analysis.kernel import Kernel
from untrained.analysis.label_energy import LabelEnergy, label_energy
from untrained.analysis.power_law import PowerLaw, power_law
from untrained.analysis.regression import Regression, regression
from untrained.analysis.spectrum import Spectrum, spectrum

__all__ = [
    "Estimate",
    "Kernel",
    "LabelEnergy",
    "PowerLaw",
    "Quantity",
    "Regression",
    "Spectrum",
    "centred_alignment",
    "correlation",
    "cosine",
    "estimate",
    "label_alignment",
    "label_energy",
    "power_law",
    "regression",
    "relative_change",
    "spectrum",
]
