"""GIGA-Lens's profiles by their module names, each of them one of ours."""
