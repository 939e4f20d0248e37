#!/bin/sh
# A virtual environment for each peer, from its pinned requirements: envs/gigalens, envs/herculens...
#
#     sh benchmarks/peers/setup.sh              # all of them, about 5 GB
#     sh benchmarks/peers/setup.sh herculens    # one
#
# PYTHON names an interpreter of version 3.12, which all four run on (GIGA-Lens from 3.12 on).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for name in ${*:-gigalens herculens jaxtronomy lenstronomy}; do
    "${PYTHON:-python3.12}" -m venv --clear "$here/envs/$name"
    "$here/envs/$name/bin/python" -m pip install --quiet --no-deps -r "$here/requirements/$name.txt"
done
