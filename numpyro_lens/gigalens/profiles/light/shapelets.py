"""Shapelets."""

from typing import ClassVar

from numpyro_lens import light
from numpyro_lens.gigalens.profile import ManyAmplitudes


class Shapelets(ManyAmplitudes):
    """Shapelets, `numpyro_lens.light.Shapelets`; amplitudes ``amp00`` and so on.

    Args:
        n_max: largest order.
        use_lstsq: whether the amplitudes are solved for.
        interpolate: GIGA-Lens tabulates the functions then; ours are always exact.

    Example:
        >>> shapelets = Shapelets(6, use_lstsq=True)
        >>> shapelets.depth, shapelets.params
        (28, ['beta', 'center_x', 'center_y'])
    """

    profile: ClassVar = light.Shapelets

    def __init__(self, n_max: int, use_lstsq: bool = False, interpolate: bool = True) -> None:
        orders = light.shapelet_orders(n_max)
        super().__init__(len(orders), use_lstsq)
        self.N1, self.N2 = orders.T.tolist()
        self.n_max, self.n_layers, self.interpolate = n_max, self.depth, interpolate
