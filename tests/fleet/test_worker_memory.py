"""What a worker gives back."""

import platform

import psutil
import pytest

from numpyro_lens.fleet.worker import give_back_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries return it at once")
def test_freed_memory_is_returned_to_the_system():
    process = psutil.Process()
    pieces = [bytes(2000) for _ in range(100_000)]
    kept = pieces[::1000]  # among what is freed, so that the heap cannot shrink at its end
    used = process.memory_info().rss
    del pieces
    give_back_memory()
    assert used - process.memory_info().rss > 100e6
    assert len(kept) == 100
