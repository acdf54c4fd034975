"""Training: from a network and images to a trained network, and to files that outlive us.

`train` runs one recipe, yours or a published one of `RECIPES`, an epoch at a time, with the whole
state on disk after each, so that a training killed at any moment resumes bit for bit. `evaluate`
passes a split once. `export` writes the weights, a loader that needs torch and safetensors
alone, and an ONNX file, and checks each against the network. The subpackage works on any
`nn.Module` from normalised images to logits.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
