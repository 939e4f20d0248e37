"""Fleets: many lenses on many workers, by Dask; each leaves its own folder and a row of a table."""

from numpyro_lens.fleet.cluster import local_client as local_client
from numpyro_lens.fleet.gallery import write_gallery as write_gallery
from numpyro_lens.fleet.running import fit_many as fit_many
