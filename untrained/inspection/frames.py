"""Layers and parameters as data frames."""

import polars as pl

from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding

LAYERS = {
    "layer": pl.String,
    "operation": pl.String,
    "shape": pl.String,
    "trunk": pl.Boolean,
    "rms": pl.Float64,
    "mean": pl.Float64,
    "correlation": pl.Float64,
    "rank": pl.Float64,
    "gradient_rms": pl.Float64,
    "gradient_norm": pl.Float64,
    "sensitivity": pl.Float64,
    "flat": pl.Float64,
    "dead": pl.Float64,
    "ntk_share": pl.Float64,
    "findings": pl.String,
}
"""Name; function; shape of the output, with the batch; whether everything passes it. RMS and mean
of the output; correlation of two images; rank of what differs. RMS of the gradient's entries, and
its norm an image; see `Evidence.sensitivity`. Share of entries and of units that are flat, of
activations. Share of the NTK's trace that the parameters have which it is the first to use.
Titles of the findings about it."""
PARAMETERS = {
    "parameter": pl.String,
    "layer": pl.String,
    "shape": pl.String,
    "trainable": pl.Boolean,
    "std": pl.Float64,
    "gain": pl.Float64,
    "law": pl.String,
    "off": pl.Float64,
    "ntk_share": pl.Float64,
    "condition_number": pl.Float64,
    "effective_rank": pl.Float64,
    "reason": pl.String,
}
"""Name; the first layer that uses it; shape; whether it requires a gradient. Standard deviation
around 0; std sqrt(fan_in); the usual law that is nearest, and the gain over that law's. Share of
the NTK's trace; condition number and effective rank of what it contributes to the NTK, and why
there is no condition number."""


def layer_frame(evidence: Evidence, findings: tuple[Finding, ...]) -> pl.DataFrame:
    """A row for each layer."""
    shares: dict[int, float] = {}
    for p in evidence.parameters:
        share = evidence.tangent.share(p.name)
        if p.layer is not None and share is not None:
            shares[p.layer] = shares.get(p.layer, 0.0) + share
    rows = []
    for number, layer in enumerate(evidence.passed.layers):
        seen, back, slope = layer.seen, layer.backward, layer.seen.slope
        rows.append(
            {
                "layer": layer.name,
                "operation": seen.operation,
                "shape": " x ".join(map(str, seen.shape)),
                "trunk": layer.trunk,
                **{name: getattr(seen.signal, name) for name in ("rms", "mean")},
                **{name: getattr(seen.signal, name) for name in ("correlation", "rank")},
                "gradient_rms": None if back is None else back.rms,
                "gradient_norm": None if back is None else back.norm,
                "sensitivity": evidence.sensitivity(layer),
                "flat": None if slope is None else slope.flat,
                "dead": None if slope is None else slope.dead,
                "ntk_share": shares.get(number),
                "findings": "; ".join(f.title for f in findings if layer.name in f.layers),
            }
        )
    return pl.DataFrame(rows, LAYERS)


def parameter_frame(evidence: Evidence) -> pl.DataFrame:
    """A row for each parameter tensor."""
    rows = []
    for p in evidence.parameters:
        part = evidence.tangent.parts.get(p.name)
        rows.append(
            {
                "parameter": p.name,
                "layer": None if p.layer is None else evidence.passed.layers[p.layer].name,
                "shape": " x ".join(map(str, p.shape)),
                "trainable": p.trainable,
                "std": p.std,
                "gain": p.gain,
                "law": p.law or None,
                "off": p.off,
                "ntk_share": evidence.tangent.share(p.name),
                "condition_number": None if part is None else part.condition_number,
                "effective_rank": None if part is None else part.effective_rank,
                "reason": evidence.tangent.reason if part is None else part.reason,
            }
        )
    return pl.DataFrame(rows, PARAMETERS)
