"""The program ``numpyro-lens``, or ``python -m numpyro_lens``."""

from numpyro_lens._interrupt import leave_when_interrupted


def main() -> None:
    """Run the command line, which Ctrl-C ends from the first import on."""
    leave_when_interrupted()
    from numpyro_lens import cli

    cli.main()


if __name__ == "__main__":
    main()
