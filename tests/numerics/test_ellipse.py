"""Ellipticities of any modulus."""

import jax.numpy as jnp
import numpy as np

from numpyro_lens.numerics.ellipse import bounded_ellipticity


def test_bounded_ellipticity_is_the_identity_then_saturates(x64):
    e1, e2, flat = bounded_ellipticity(jnp.asarray(0.5), jnp.asarray(-0.6))
    np.testing.assert_allclose([e1, e2, flat], [0.5, -0.6, 1 - 0.61], rtol=1e-6)
    e1, e2, flat = bounded_ellipticity(jnp.asarray(3.0), jnp.asarray(4.0))
    assert np.hypot(e1, e2) < 0.951
    assert flat > 0.09
