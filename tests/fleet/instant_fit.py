"""A fit that takes no time; the processes of workers import it too."""

import numpy as np
import pandas as pd
from stand_ins import StandIn

import numpyro_lens as nl


class Fit(StandIn):
    """What `fit` returns, as far as a fleet asks."""

    def __init__(self, observation, seed, mean_square=1.0, doubts=()):
        mass = nl.mass.SIS(theta_E=0.5)
        source = nl.light.Gaussian(amp=1.0, sigma=0.1)
        super().__init__({"image": observation}, {"image": nl.Scene.of(mass=mass, source=source)})
        residuals = nl.infer.Residuals("image", 576, mean_square, 0.0)
        self.verdict = nl.infer.Verdict(
            True,
            (1.001, "lens.theta_E"),
            (390.0, "lens.theta_E"),
            0,
            (),
            (residuals,),
            doubts=doubts,
        )
        draws = np.random.default_rng(0).normal(0.5, 0.01, size=(4, 100))
        self.samples = {"lens.theta_E": draws, "pixels": np.zeros((4, 100, 50))}
        self.seed, self.settings = seed, {"map": {"num_starts": 3}}
        self.timings = {"map": {"compile_s": 1.0, "run_s": 2.0}}
        self.num_gradients = {"map": 10}

    def summary(self):
        return pd.DataFrame({"mean": [0.5], "r_hat": [1.001]}, index=["lens.theta_E"])

    def derived(self):
        values = {"median": [0.5], "eti16": [0.49], "eti84": [0.51]}
        return pd.DataFrame(values, index=["image.einstein_radius"])

    def save(self, path):
        path.write_text("netCDF")
