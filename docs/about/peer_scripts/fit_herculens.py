"""The fit of the comparison in herculens: NumPyro's NUTS, as its users set it up."""

import herculens as hcl
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from astropy.io import fits
from numpyro.infer import MCMC, NUTS, init_to_median

with fits.open("lens.fits") as hdus:
    data, sigma, kernel = hdus["FLUX"].data, hdus["RMS"].data, hdus["PSF"].data
ny, nx = data.shape
scale = 0.05
grid = hcl.PixelGrid(
    nx=nx,
    ny=ny,
    ra_at_xy_0=-(nx - 1) * scale / 2,
    dec_at_xy_0=-(ny - 1) * scale / 2,
    transform_pix2angle=scale * np.eye(2),
)
lens_image = hcl.LensImage(
    grid,
    hcl.PSF(psf_type="PIXEL", kernel_point_source=kernel, pixel_size=scale),
    noise_class=hcl.Noise(nx, ny, noise_map=sigma),
    lens_mass_model_class=hcl.MassModel(["EPL", "SHEAR"]),
    source_model_class=hcl.LightModel(["SERSIC_ELLIPSE"]),
    lens_light_model_class=hcl.LightModel(["SERSIC_ELLIPSE"]),
    kwargs_numerics={"supersampling_factor": 2},
)


def shape(name):
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    return {
        "e1": numpyro.sample(f"{name}_e1", ellipticity),
        "e2": numpyro.sample(f"{name}_e2", ellipticity),
        "center_x": numpyro.sample(f"{name}_center_x", dist.Normal(0.0, 0.1)),
        "center_y": numpyro.sample(f"{name}_center_y", dist.Normal(0.0, 0.1)),
    }


def sersic(name, log_radius):
    return {
        "amp": numpyro.sample(f"{name}_amp", dist.LogNormal(3.0, 2.0)),
        "R_sersic": numpyro.sample(f"{name}_R", dist.LogNormal(log_radius, 0.7)),
        "n_sersic": numpyro.sample(f"{name}_n", dist.Uniform(0.2, 10.0)),
        **shape(name),
    }


def model():
    epl = {
        "theta_E": numpyro.sample("theta_E", dist.LogNormal(0.1, 0.4)),
        "gamma": numpyro.sample("gamma", dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0)),
        **shape("lens"),
    }
    shear = {
        "gamma1": numpyro.sample("gamma1", dist.Normal(0.0, 0.06)),
        "gamma2": numpyro.sample("gamma2", dist.Normal(0.0, 0.06)),
        "ra_0": 0.0,
        "dec_0": 0.0,
    }
    image = lens_image.model(
        kwargs_lens=[epl, shear],
        kwargs_source=[sersic("source", -1.5)],
        kwargs_lens_light=[sersic("lens_light", -0.2)],
    )
    pixels = dist.Independent(dist.Normal(image, jnp.asarray(sigma)), 2)
    numpyro.sample("obs", pixels, obs=data)


kernel = NUTS(model, init_strategy=init_to_median, dense_mass=True)
mcmc = MCMC(kernel, num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized")
mcmc.run(jax.random.key(0))
mcmc.print_summary()
