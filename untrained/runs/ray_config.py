"""What is asked of a Ray cluster: where it is, and what a task is given there."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

AUTO = "auto"
"The cluster that this machine belongs to."


@dataclass(frozen=True)
class RayConfig:
    """A cluster, and what every task is given of it."""

    address: str | None = None
    """A cluster: `auto`, the one that this machine belongs to, or host:port of its head. By
    default one is started on this machine, for as many tasks at a time as `workers`, and ended
    with the command."""
    cores: float = 1.0
    """Cores that each task is given. It computes on one thread whatever this says, so that the
    numbers stay the same; more cores leave it more memory."""
    gpus: float = 1.0
    "GPUs that each task is given where the device is `cuda`; of 0.25, four tasks share one."

    def check(self, workers: int, device: str) -> None:
        """Refuse what Ray cannot do.

        Raises:
            ValueError: Ray is not installed, or what is asked makes no sense.
        """
        spec = find_spec("ray")
        if spec is None or spec.origin is None:  # none, or any folder of this name
            raise ValueError(
                "engine: expected Ray to be installed for 'ray', got none; try pip install "
                "'untrained[ray]', or leave out --engine"
            )
        if workers < 1:
            raise ValueError(
                f"workers: expected 1 or more with --engine ray, got {workers!r}; leave out "
                f"--engine to measure in this process"
            )
        if device.startswith("cuda:"):
            raise ValueError(
                f"device: expected cpu or cuda with --engine ray, which gives each task its own "
                f"GPU, got {device!r}"
            )
        if self.address not in (None, AUTO) and not re.fullmatch(_HOST_PORT, str(self.address)):
            raise ValueError(
                f"ray.address: expected auto or host:port of the cluster's head, such as "
                f"10.0.0.1:6379, got {self.address!r}"
            )
        if self.cores <= 0:
            raise ValueError(f"ray.cores: expected more than 0, got {self.cores!r}; try 1")
        if self.gpus <= 0 or (self.gpus > 1 and self.gpus % 1):
            raise ValueError(
                f"ray.gpus: expected a share of one GPU or a whole number of them, got "
                f"{self.gpus!r}; try 0.5"
            )


_HOST_PORT = r"[^:/\s]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}"
