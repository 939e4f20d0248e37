"""Light: anything with ``brightness(x, y)``, a surface brightness per arcsec²."""

from numpyro_lens.light._base import AbstractLight as AbstractLight
from numpyro_lens.light._base import Lights as Lights
from numpyro_lens.light._base import Sum as Sum
from numpyro_lens.light._base import amplitude as amplitude
from numpyro_lens.light._base import as_light as as_light
from numpyro_lens.light._base import basis as basis
from numpyro_lens.light._base import basis_parts as basis_parts
from numpyro_lens.light._base import components as components
from numpyro_lens.light._elliptical import DPIE as DPIE
from numpyro_lens.light._elliptical import CoreSersic as CoreSersic
from numpyro_lens.light._elliptical import Gaussian as Gaussian
from numpyro_lens.light._elliptical import Hernquist as Hernquist
from numpyro_lens.light._elliptical import Moffat as Moffat
from numpyro_lens.light._elliptical import MultiGaussian as MultiGaussian
from numpyro_lens.light._elliptical import MultiGaussianDipole as MultiGaussianDipole
from numpyro_lens.light._elliptical import Sersic as Sersic
from numpyro_lens.light._footprint import Footprint as Footprint
from numpyro_lens.light._footprint import has_footprint as has_footprint
from numpyro_lens.light._footprint import with_footprint as with_footprint
from numpyro_lens.light._hsgp import HSGP as HSGP
from numpyro_lens.light._hsgp import hsgp_orders as hsgp_orders
from numpyro_lens.light._hsgp import matern_scale as matern_scale
from numpyro_lens.light._interpolated import Interpolated as Interpolated
from numpyro_lens.light._shapelets import Shapelets as Shapelets
from numpyro_lens.light._shapelets import shapelet_orders as shapelet_orders
from numpyro_lens.light._uniform import Uniform as Uniform
