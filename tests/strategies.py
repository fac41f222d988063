"""What hypothesis draws: arrays of a fixed shape, so that nothing compiles twice."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

N, T, A = 3, 5, 4


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=32)


def arrays(
    shape: tuple[int, ...], low: float = -3.0, high: float = 3.0
) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, shape, elements=floats(low, high))


def flags(shape: tuple[int, ...] = (N, T)) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(bool, shape)


@st.composite
def masks(draw: st.DrawFn, n: int = N, t: int = T) -> np.ndarray:
    """Rows of at least one valid step, padded at the end."""
    lengths = draw(hnp.arrays(np.int32, (n,), elements=st.integers(1, t)))
    return np.arange(t) < lengths[:, None]


@st.composite
def log_distributions(draw: st.DrawFn, n: int = A) -> np.ndarray:
    """Normalised log-probabilities, none of them below about e^-9."""
    logits = draw(arrays((n,)))
    return (logits - np.log(np.sum(np.exp(logits)))).astype(np.float32)


permutations = st.permutations(range(N)).map(np.asarray)
