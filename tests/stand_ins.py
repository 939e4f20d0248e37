"""What pictures and files ask of a fit, without a fit."""

import numpy as np

from numpyro_lens import simulate
from numpyro_lens.fitting import LensFit, View


class StandIn:
    """A fit of one or several images, whose best draw is a given scene each.

    The rules for names are those of the real thing.
    """

    site = LensFit.site

    def __init__(self, observations, scenes):
        self.observations = observations
        self.views = {
            name: View(o, np.asarray(simulate.render_scene(o, scenes[name])), scenes[name])
            for name, o in observations.items()
        }

    def scene(self, name=None):
        return self.views[self.site(name)].scene
