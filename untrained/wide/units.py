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
        return Units(self.axes, own, self.before | other.before, gaussian)

    def at(self, axes: tuple[int, ...], alike: bool = True) -> "Units":
        """With positions elsewhere, or without; `alike` says that units stay so."""
        return replace(self, axes=axes, gaussian=self.gaussian and alike)

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
