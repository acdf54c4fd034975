"""ImageNet accuracies of 2,600 architectures of a space like MnasNet's, after a short training.

Source: Ahmad et al., "Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS",
DAC 2024, https://arxiv.org/abs/2404.08005.
"""

from typing import ClassVar

from untrained.tables.table import Table


class MNASTable(Table):
    """Architecture -> ImageNet accuracy after a shortened training, and costs on devices."""

    space = "mnas"
    file = "mnas_imagenet.parquet"
    title = "shortened training"
    accuracies: ClassVar = {"imagenet_top1": "ImageNet top-1"}
