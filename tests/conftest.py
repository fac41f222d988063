"""Before anything else: where compiled code is kept, and the same examples every time.

Tests compile the same small programs again and again, in this process and in others
that they start; each worker keeps what it has compiled, from one run to the next, and
compiles without optimising, which takes less than half of the time.
"""

import gc
import os
from pathlib import Path

import hypothesis
import pytest

KEPT = Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(KEPT / os.environ.get("PYTEST_XDIST_WORKER", "")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", QUICK)

# No deadline, as the first example compiles.
hypothesis.settings.register_profile(
    "reins", deadline=None, derandomize=True, database=None, max_examples=40
)
hypothesis.settings.load_profile("reins")

MAPS, MOST_MAPS = Path("/proc/self/maps"), 20_000
"""A compiled program takes three. XLA crashes where Linux has no more (65,530)."""


@pytest.fixture(scope="module", autouse=True)
def _room_for_compiled_programs():
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        import jax  # which reads the environment above as it is imported

        jax.clear_caches()
        gc.collect()
