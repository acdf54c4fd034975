"""What is known of the units of a layer of infinite width, whatever is computed of them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Units:
    """Where they are, and what they are Gaussian of."""

    axes: tuple[int, ...] = ()
    "Which axes of the tensor are positions; the others are examples, the first, and channels."
    own: frozenset[str] = frozenset()
    "Layers of weights, given all others of which units are Gaussian of mean zero; or none."
    before: frozenset[str] = frozenset()
    "All layers of weights that they depend on."
    gaussian: bool = False
    "Whether they are Gaussian, and alike but for their positions."
    count: int | None = None
    "How many at a position, of inputs; of layers, infinitely many."
    scaled: bool = False
    "Whether each is multiplied by a trained scale of its own, which Theta does not hold yet."
    mixed: bool = False
    "Whether some part of each is."

    @property
    def channels(self) -> int:
        """The axis of channels."""
        return next(axis for axis in range(1, 4) if axis not in self.axes)

    def weighted(self, name: str) -> "Units":
        """After a layer of weights.

        Raises:
            ValueError: one that was met before.
        """
        if name in self.before:
            raise ValueError(f"{name}: expected weights that are used once, got shared ones")
        own = frozenset({name})
        return Units(self.axes, own, self.before | own, True)

    def activated(self, name: str) -> "Units":
        """After an activation.

        Raises:
            ValueError: units that are not Gaussian.
        """
        if not self.gaussian:
            raise ValueError(
                f"{name}: expected Gaussian units, all alike, before an activation, as after a "
                f"layer with weights, got inputs, activations, a sum with these, or flattened "
                f"positions"
            )
        if self.mixed:
            raise ValueError(
                f"{name}: expected a layer with weights, or nothing, between the scale of a norm "
                f"and this activation, got a sum or another norm; try elementwise_affine=False"
            )
        return Units(self.axes, before=self.before)

    def added(self, other: "Units", name: str) -> "Units":
        """The sum of two branches, of which one has mean zero, whatever the other is.

        Raises:
            ValueError: branches that may be correlated, or have other axes.
        """
        if self.axes != other.axes:
            raise ValueError(f"{name}: expected branches with the same axes, got others")
        first = self.own and not self.own & other.before
        second = other.own and not other.own & self.before
        if not (first or second):
            raise ValueError(
                f"{name}: expected a sum of branches of which one ends in a layer with weights of "
                f"its own, got ones that are correlated"
            )
        own = self.own | other.own if self.own and other.own else frozenset()
        gaussian = self.gaussian and other.gaussian
        mixed = any(each.scaled or each.mixed for each in (self, other))
        return Units(self.axes, own, self.before | other.before, gaussian, mixed=mixed)

    def at(self, axes: tuple[int, ...], alike: bool = True) -> "Units":
        """With positions elsewhere, or without; `alike` says that units stay so."""
        return replace(self, axes=axes, gaussian=self.gaussian and alike)

    def check_count(self, expected: int, what: str, name: str) -> None:
        """Refuse inputs of another size than a layer takes.

        Raises:
            ValueError: that.
        """
        if self.count not in (None, expected):
            raise ValueError(f"{name}: expected {expected} {what}, got {self.count}")

    def check_channels(self, axis: int, name: str) -> None:
        """Refuse channels elsewhere than a layer expects them.

        Raises:
            ValueError: that.
        """
        if self.channels != axis:
            where = "last" if axis != 1 else "before positions"
            raise ValueError(
                f"{name}: expected channels {where}, got images or sequences with channels "
                f"elsewhere; flatten, average or transpose them first"
            )

    def check_positions(self, count: int, name: str) -> None:
        """Refuse what has not so many axes of positions.

        Raises:
            ValueError: that.
        """
        kinds = "vectors", "sequences", "images"
        if len(self.axes) != count:
            raise ValueError(f"{name}: expected {kinds[count]}, got {kinds[len(self.axes)]}")
