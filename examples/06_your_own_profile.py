# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---


# %% [markdown]
# # Your own profile
#
# A profile is a class with its parameters as fields and one method. Written in a notebook, it works
# everywhere in the package: no registration, no subclass of a concrete profile. A mass needs
# `deflection(x, y)`; if the potential is what you know, derive from `nl.mass.AbstractPotential` and
# write `potential(x, y)`.
#
# Here is the softened isothermal sphere, $\psi = \theta_E \sqrt{r^2 + s^2}$ with a core $s$, up to a
# term that makes it lens like the real one outside.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import numpyro_lens as nl


class CoredSphere(nl.mass.AbstractMass):
    r"""Isothermal sphere with a core, $\alpha = \theta_E \, \vec r / (\sqrt{r^2 + s^2} + s)$.

    Args:
        theta_E: Einstein radius without the core [arcsec].
        core: core radius s [arcsec], positive.
        center_x, center_y: centre [arcsec].
    """

    theta_E: float
    core: float
    center_x: float = 0.0
    center_y: float = 0.0

    def deflection(self, x, y):
        dx, dy = x - self.center_x, y - self.center_y
        scale = self.theta_E / (jnp.sqrt(dx**2 + dy**2 + self.core**2) + self.core)
        return scale * dx, scale * dy


# %% [markdown]
# `convergence`, `shear`, `magnification`, critical curves and the Einstein radius follow from the
# deflection.

# %%
lens = CoredSphere(theta_E=1.0, core=0.1)
print("Einstein radius:", nl.lensing.einstein_radius(lens))
print("convergence at the centre:", float(nl.lensing.convergence(lens, 0.0, 0.0)))

# %% [markdown]
# ## Check it
#
# Three checks catch nearly every mistake: the deflection falls to that of the known limit, value and
# gradient are finite at the centre, and the deflection has no curl.

# %%
x, y = jax.random.normal(jax.random.key(0), (2, 100))
limit = nl.mass.SIS(theta_E=1.0)
np.testing.assert_allclose(
    CoredSphere(theta_E=1.0, core=1e-6).deflection(x, y), limit.deflection(x, y), rtol=1e-3
)
for where in (0.0, 1e-8, 1.0):
    gradient = jax.grad(lambda p, w: p.deflection(w, 0.0)[0])(lens, where)
    assert all(jnp.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
_, xy, yx, _ = nl.lensing.deflection_jacobian(lens, x, y)
np.testing.assert_allclose(xy, yx, atol=1e-5)

# %% [markdown]
# ## A light profile
#
# A light needs `brightness(x, y)`, per square arcsecond. This one is a ring of stars. Its linear
# parameter is called `amp`; if yours is called `flux`, say, write `linear_field = "flux"` in the class.


# %%
class StellarRing(nl.light.AbstractLight):
    r"""A ring, $I = \mathrm{amp}\, e^{-(r - R)^2 / 2 w^2}$.

    Args:
        amp: brightness on the ring [flux per arcsec²].
        radius: R [arcsec].
        width: w [arcsec], positive.
        center_x, center_y: centre [arcsec].
    """

    amp: float
    radius: float
    width: float
    center_x: float = 0.0
    center_y: float = 0.0

    def brightness(self, x, y):
        # the square root has no derivative at zero: a tiny constant inside keeps it finite
        r = jnp.sqrt((x - self.center_x) ** 2 + (y - self.center_y) ** 2 + 1e-12)
        return self.amp * jnp.exp(-0.5 * ((r - self.radius) / self.width) ** 2)


# %% [markdown]
# ## Fit with both

# %%
camera = nl.Observation.blank(
    (36, 36), pixel_scale=0.1, noise=nl.NoiseMap(0.01), psf=nl.GaussianPSF(0.15)
)
observation = nl.mock(
    camera,
    jax.random.key(5),
    mass=lens + nl.mass.Shear(gamma1=0.05, gamma2=0.02),
    source=StellarRing(amp=20.0, radius=0.12, width=0.05, center_x=0.08, center_y=0.05),
)


def model(observation):
    mass = nl.sample(
        "lens", CoredSphere, theta_E=dist.LogNormal(0.0, 0.1), core=dist.LogNormal(-2.3, 0.5)
    )
    shear = nl.sample(
        "shear", nl.mass.Shear, gamma1=dist.Normal(0, 0.05), gamma2=dist.Normal(0, 0.05)
    )
    source = nl.sample(
        "source",
        StellarRing,
        amp=dist.LogNormal(3.0, 0.5),
        radius=dist.LogNormal(-2.0, 0.3),
        width=dist.LogNormal(-3.0, 0.3),
        center_x=dist.Normal(0, 0.1),
        center_y=dist.Normal(0, 0.1),
    )
    nl.observe("image", observation, mass=mass + shear, source=source)


fit = nl.fit(model, observation, seed=0)
fit

# %%
fit.plot()

# %%
fit.plot_corner(truths={"lens.theta_E": 1.0, "lens.core": 0.1, "source.radius": 0.12})

# %% [markdown]
# A wrong name is an error that lists the right ones:

# %%
try:
    nl.sample("lens", CoredSphere, theta_e=1.0, core=0.1)
except ValueError as error:
    print(error)

# %% [markdown]
# To add a profile to the package itself, see "Contributing": one class, one row in the catalogue of
# the tests, one line of documentation.
