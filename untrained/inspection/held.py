"""Parameters that do not learn, or not alone: unused, out of reach, frozen, tied; and coupling."""

from collections.abc import Iterator
from math import prod

from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding, listed

COUPLED = 0.5
"Share of an output's dependence that is on other images: from there on it is most of it."
WHOLE = 0.99
"Share of the kernel's trace in one tensor from which on the others hardly learn."


def unused(evidence: Evidence) -> Iterator[Finding]:
    """Trainable parameters that the network never uses, or that no gradient reaches."""
    if all(not p.trainable for p in evidence.parameters):
        yield Finding(
            "nothing is trainable",
            (),
            f"none of {len(evidence.parameters)} parameters requires a gradient",
            "training needs one",
            "set requires_grad of what shall learn",
        )
        return
    found = [p for p in evidence.parameters if p.trainable and not p.used]
    if found:
        yield Finding(
            f"never used: {listed([p.name for p in found])}",
            tuple(p.name for p in found),
            f"{len(found)} parameters of {sum(prod(p.shape) for p in found):,} numbers meet no "
            f"image in a forward pass",
            "any is too many: an optimiser leaves them as they are",
            "call their layers in forward, or delete them",
        )
    cut = [p for p in evidence.parameters if p.trainable and p.used and not p.reached]
    if cut and evidence.loss is not None:
        yield Finding(
            f"no gradient reaches {listed([p.name for p in cut])}",
            tuple(p.name for p in cut),
            f"{len(cut)} trainable parameters are used, but the outputs' gradient does not come "
            f"back to them",
            "any is too many: an optimiser leaves them as they are",
            "look for detach, torch.no_grad, argmax or rounding after them; or freeze them, if it "
            "is meant",
        )


def frozen(evidence: Evidence) -> Iterator[Finding]:
    """Parameters that are not trained."""
    found = [p for p in evidence.parameters if not p.trainable]
    if not found or len(found) == len(evidence.parameters):
        return
    share = sum(prod(p.shape) for p in found) / sum(prod(p.shape) for p in evidence.parameters)
    yield Finding(
        f"frozen: {listed([p.name for p in found])}",
        tuple(p.name for p in found),
        f"{len(found)} parameters, {share:.1%} of all numbers, require no gradient",
        "said of any",
        "nothing, if it is meant; else requires_grad_(True)",
        hinders=False,
    )


def tied(evidence: Evidence) -> Iterator[Finding]:
    """Tensors that the network has under several names."""
    for p in evidence.parameters:
        if p.others:
            yield Finding(
                f"{p.name} and {listed(p.others)} are one tensor",
                (p.name, *p.others),
                "it gets the sum of the gradients of all its uses, and counts once",
                "said of any",
                "nothing, if it is meant",
                hinders=False,
            )


def coupled(evidence: Evidence) -> Iterator[Finding]:
    """Outputs that depend on other images more than on their own."""
    share = evidence.passed.coupling
    if share is None or share <= COUPLED:
        return
    yield Finding(
        "outputs depend mostly on other images",
        (),
        f"{share:.0%} of an output's squared derivatives are by the other images of the batch",
        f"more than {COUPLED:.0%}: BatchNorm of usual networks leaves a few per cent",
        "train with larger batches, move BatchNorm to where a channel has many positions, or take "
        "GroupNorm or LayerNorm",
    )


def concentrated(evidence: Evidence) -> Iterator[Finding]:
    """One parameter that has nearly the whole of the tangent kernel."""
    shares = {p.name: evidence.tangent.share(p.name) for p in evidence.parameters if p.trainable}
    known = {name: share for name, share in shares.items() if share is not None}
    if sum(len(p.shape) > 1 for p in evidence.parameters if p.name in known) < 4:
        return
    name = max(known, key=lambda name: known[name])
    if known[name] <= WHOLE:
        return
    yield Finding(
        f"{name} has nearly the whole tangent kernel",
        (name,),
        f"{known[name]:.2%} of the trace of the NTK is its share",
        f"more than {WHOLE:.0%}, in a network of four weights or more: at one learning rate the "
        f"others hardly move",
        "give it a smaller learning rate, or bring its layer's scale in line with the others",
    )
