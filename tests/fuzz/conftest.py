"""How many damaged files are tried: a few and always the same, or 10,000 new ones."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "short",
    derandomize=True,
    database=None,
    max_examples=300,
    deadline=10_000,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("long", settings.get_profile("short"), derandomize=False)
settings.register_profile("long", settings.get_profile("long"), max_examples=10_000)


def pytest_configure(config):
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("short")
