"""Settings of the sampler."""

from dataclasses import dataclass, field

from numpyro_lens.sampler.trajectory import HARMONIC, Integrator


@dataclass(frozen=True)
class CrossChain:
    """How the chains move and adapt.

    The trajectory length follows the ChEES criterion: the rate at which the squared distance from
    the centre changes along a trajectory is followed uphill. Lengths are jittered by a van der
    Corput sequence.

    Args:
        target_accept_prob: harmonic mean of the acceptance probability of the chains that the step
            size aims at.
        max_num_steps: integrator steps for each transition at most.
        init_step_size: first step size, in units of the metric.
        init_trajectory_length: first trajectory length, likewise; a quarter period of a Gaussian is
            π/2.
        adapt_trajectory_length: learn it during burn-in, up to where the longest is half a period,
            π; otherwise it stays at the first.
        jitter: trajectories are uniform in ``(1 - jitter, 1 + jitter)`` times the length.
        metric_updates: fractions of the burn-in at which the map is fitted anew, to the draws of
            all chains in the longest time between two of them, see ``sampler.maps``.
        retry_below: a trajectory with an acceptance probability below this is tried once more with
            smaller steps, see ``sampler.trajectory``; 0 turns that off.
        retry_steps: by how much smaller, and how many of them for each step of the first attempt.
        num_fit_draws: draws of the map's own normal, to whose gradients the map is fitted before
            burn-in; 0 leaves that to burn-in.
        integrator: see ``Integrator``.
        length_learning_rate: of the logarithm of the trajectory length, by Adam.
        max_energy_error: a trajectory that gains more energy than this has diverged.

    Reference: Hoffman, Radul & Sountsov 2021, AISTATS, PMLR 130:3907.
    """

    target_accept_prob: float = 0.8
    max_num_steps: int = 60
    init_step_size: float = 0.3
    init_trajectory_length: float = 1.5
    adapt_trajectory_length: bool = True
    jitter: float = 0.5
    metric_updates: tuple[float, ...] = (0.3, 0.6)
    retry_below: float = 0.1
    retry_steps: int = 4
    num_fit_draws: int = 512
    integrator: Integrator = field(default=HARMONIC, repr=False)
    length_learning_rate: float = field(default=0.025, repr=False)
    max_energy_error: float = field(default=1000.0, repr=False)
