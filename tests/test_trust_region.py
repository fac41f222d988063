"""Conjugate gradients, natural steps and line searches, against dense solves."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from reins.divergences import (
    categorical_kl,
    fisher_vector_product,
    hessian_vector_product,
    second_order_kl,
)
from reins.trust_region import (
    backtracking_line_search,
    conjugate_gradient,
    natural_step,
)

D = 6


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def positive_definite(seed: int, size: int = D) -> np.ndarray:
    """Scales and axes differ."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(size, size))
    return factor @ factor.T + 0.3 * np.eye(size)


def products(matrix):
    return lambda vector: jnp.asarray(matrix) @ vector


# Conjugate gradients.


@pytest.mark.parametrize("damping", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_conjugate_gradient_is_the_dense_solve_within_d_iterations(
    float64, seed, damping
):
    matrix = positive_definite(seed)
    target = np.random.default_rng(seed + 10).normal(size=D)
    x, residual = conjugate_gradient(
        products(matrix), jnp.asarray(target), iterations=D, damping=damping
    )
    expected = np.linalg.solve(matrix + damping * np.eye(D), target)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-10)
    left = target - (matrix + damping * np.eye(D)) @ np.asarray(x)
    np.testing.assert_allclose(residual, left, atol=1e-12)


def test_cut_short_it_says_what_is_left(float64):
    """It minimises xᵀAx/2 − bᵀx over the span of b, Ab: two iterations are that."""
    matrix = positive_definite(3)
    target = np.random.default_rng(1).normal(size=D)
    x, residual = conjugate_gradient(
        products(matrix), jnp.asarray(target), iterations=2
    )
    span = np.stack([target, matrix @ target], axis=1)
    best = span @ np.linalg.solve(span.T @ matrix @ span, span.T @ target)
    np.testing.assert_allclose(x, best, rtol=1e-9)
    np.testing.assert_allclose(residual, target - matrix @ best, atol=1e-10)
    assert np.linalg.norm(residual) > 1e-2


def test_two_eigenvalues_take_two_iterations_and_the_tolerance_stops_it(float64):
    """Further iterations are not made: the products are counted."""
    calls = []

    def product(vector):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.array([2.0, 2.0, 5.0, 5.0]) * vector

    x, _ = conjugate_gradient(product, jnp.array([1.0, -2.0, 3.0, 0.5]), iterations=50)
    jax.effects_barrier()
    np.testing.assert_allclose(x, [0.5, -1.0, 0.6, 0.1], rtol=1e-9)
    assert len(calls) == 2 + 1  # and one for the residual


class Nested(NamedTuple):
    first: Array
    rest: dict[str, Array]


def test_conjugate_gradient_of_a_pytree(float64):
    matrix = positive_definite(5)
    flat = jnp.asarray(np.random.default_rng(2).normal(size=D))

    def pack(vector):
        return Nested(vector[:4].reshape(2, 2), {"b": vector[4], "a": vector[5:]})

    def unpack(tree):
        return jnp.concatenate(
            [tree.first.ravel(), tree.rest["b"][None], tree.rest["a"]]
        )

    x, residual = conjugate_gradient(
        lambda tree: pack(jnp.asarray(matrix) @ unpack(tree)), pack(flat), iterations=D
    )
    assert jax.tree.structure(x) == jax.tree.structure(pack(flat))
    assert jax.tree.structure(residual) == jax.tree.structure(pack(flat))
    np.testing.assert_allclose(unpack(x), np.linalg.solve(matrix, flat), rtol=1e-8)
    np.testing.assert_allclose(unpack(residual), 0.0, atol=1e-9)


def test_nothing_to_solve_and_no_curvature_give_0():
    x, residual = conjugate_gradient(products(np.eye(3)), jnp.zeros(3))
    np.testing.assert_array_equal(x, 0.0)
    np.testing.assert_array_equal(residual, 0.0)
    for flat in (0.0, -1.0):
        x, residual = conjugate_gradient(lambda v, c=flat: c * v, jnp.ones(3))
        np.testing.assert_array_equal(x, 0.0)
        np.testing.assert_array_equal(residual, 1.0)


def test_many_at_once_are_many_one_by_one():
    matrices = jnp.stack([jnp.asarray(positive_definite(i), float) for i in range(3)])
    targets = jax.random.normal(jax.random.key(0), (3, D))

    def solve(matrix, target):
        return conjugate_gradient(products(matrix), target, iterations=D)

    together = jax.jit(jax.vmap(solve))(matrices, targets)
    for i in range(3):
        alone = solve(matrices[i], targets[i])
        np.testing.assert_allclose(alone.solution, together.solution[i], rtol=1e-3)


# Natural steps.


@pytest.mark.parametrize("seed", range(4))
def test_the_natural_step_is_the_dense_one_and_its_expected_kl_the_bound(float64, seed):
    matrix = positive_definite(seed)
    gradient = np.random.default_rng(seed + 20).normal(size=D)
    found = natural_step(
        products(matrix), jnp.asarray(gradient), kl_bound=0.02, iterations=D
    )
    direction = np.linalg.solve(matrix, gradient)
    expected = np.sqrt(2 * 0.02 / (gradient @ direction)) * direction
    np.testing.assert_allclose(found.step, expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(expected @ matrix @ expected / 2, 0.02, rtol=1e-9)
    np.testing.assert_allclose(found.expected_kl, 0.02, rtol=1e-12)
    assert found.residual < 1e-9


def test_no_other_step_of_that_kl_ascends_further(float64):
    matrix, rng = positive_definite(1), np.random.default_rng(4)
    gradient = rng.normal(size=D)
    best = natural_step(
        products(matrix), jnp.asarray(gradient), kl_bound=0.1, iterations=D
    )
    others = rng.normal(size=(1000, D))
    kls = np.einsum("ni,ij,nj->n", others, matrix, others) / 2
    others *= np.sqrt(0.1 / kls)[:, None]
    assert np.max(others @ gradient) < gradient @ np.asarray(best.step)


def test_the_scale_of_the_gradient_changes_nothing(float64):
    matrix = products(positive_definite(2))
    gradient = jnp.asarray(np.random.default_rng(5).normal(size=D))
    one, thousand = (
        natural_step(matrix, scale * gradient, kl_bound=0.01, iterations=3)
        for scale in (1.0, 1e3)
    )
    np.testing.assert_allclose(one.step, thousand.step, rtol=1e-10)
    np.testing.assert_allclose(one.residual, thousand.residual, rtol=1e-8)


@pytest.mark.parametrize("iterations", [1, 2, D])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_the_expected_kl_is_true_and_damping_lessens_it(float64, iterations, damping):
    """Also where the solution is cut short."""
    matrix = positive_definite(7)
    gradient = jnp.asarray(np.random.default_rng(6).normal(size=D))
    found = natural_step(
        products(matrix),
        gradient,
        kl_bound=0.01,
        iterations=iterations,
        damping=damping,
    )
    step = np.asarray(found.step)
    np.testing.assert_allclose(found.expected_kl, step @ matrix @ step / 2, rtol=1e-9)
    assert found.expected_kl <= 0.01 * (1 + 1e-12)
    assert (found.expected_kl < 0.0099) == (damping > 0)
    assert gradient @ step > 0


def test_no_gradient_gives_no_step():
    found = natural_step(products(positive_definite(0)), jnp.zeros(D), kl_bound=0.01)
    np.testing.assert_array_equal(found.step, 0.0)
    assert found.expected_kl == 0.0
    assert found.residual == 0.0


FEATURES = np.array([[0.7, -0.3], [1.1, 0.4], [-0.2, 0.9]])
OLD = {"w": np.array([[0.5, -1.0, 0.2, 0.9], [-0.3, 0.8, 1.1, 0.0]])}
ACTION_VALUES = np.array(
    [[1.0, -2.0, 0.5, 0.0], [0.3, 0.2, -1.0, 2.0], [0, 1, 0, -1.0]]
)


def log_policy(params):
    return jax.nn.log_softmax(FEATURES @ params["w"])


def kl_from_old(params, direction="old-new"):
    old, new = log_policy(OLD), log_policy(params)
    pair = (old, new) if direction == "old-new" else (new, old)
    return jnp.mean(categorical_kl(*pair))


def gain(params):
    return jnp.mean(jnp.sum(jnp.exp(log_policy(params)) * ACTION_VALUES, axis=-1))


@pytest.mark.parametrize("direction", ["old-new", "new-old"])
def test_the_kl_of_a_natural_step_is_the_bound_to_first_order(float64, direction):
    """|KL − ε| = O(ε^1.5), for either direction and either product."""
    kl = functools.partial(kl_from_old, direction=direction)
    start = jax.tree.map(jnp.asarray, OLD)
    masses = jax.lax.stop_gradient(log_policy(start)).ravel() - np.log(3)
    curved = functools.partial(hessian_vector_product, kl, start)
    scored = functools.partial(
        fisher_vector_product,
        lambda params: log_policy(params).ravel(),
        start,
        log_masses=masses,
    )
    gradient = jax.grad(gain)(start)
    errors = []
    for bound in (1e-2, 1e-4, 1e-6):
        for product in (curved, scored):
            found = natural_step(product, gradient, kl_bound=bound, iterations=8)
            second = second_order_kl(product(found.step), found.step)
            np.testing.assert_allclose(second, bound, rtol=1e-6)
            there = jax.tree.map(jnp.add, start, found.step)
            errors.append(abs(kl(there) / bound - 1.0))
    # A hundredth of the bound, a tenth of the relative error.
    assert errors[0] < 0.2
    for larger, smaller in zip(errors[:-2], errors[2:], strict=True):
        assert smaller < 0.2 * larger


# Line searches.


@functools.cache
def searcher(bound, tries=10):
    """Natural and wild steps of a random softmax policy on random action values."""

    @jax.jit
    def run(key, length):
        old_key, value_key, step_key = jax.random.split(key, 3)
        start = 2.0 * jax.random.normal(old_key, (3, 4))
        values = jax.random.normal(value_key, (3, 4))
        step = length * jax.random.normal(step_key, (3, 4))

        def both(logits):
            log_new, log_old = jax.nn.log_softmax(logits), jax.nn.log_softmax(start)
            objective = jnp.mean(jnp.sum(jnp.exp(log_new) * values, axis=-1))
            return objective, jnp.mean(categorical_kl(log_old, log_new))

        found = backtracking_line_search(both, start, step, kl_bound=bound, tries=tries)
        halves = [both(start + 0.5**i * step) for i in range(tries)]
        return found, start, step, both(start), halves

    return run


@pytest.mark.parametrize("length", [0.03, 1.0, 30.0, 3e4])
def test_it_takes_the_first_that_is_better_and_in_the_ball(length):
    """Slowly, on many random problems; the bound is kept on all of them."""
    bound, fractions = 0.01, []
    for key in jax.random.split(jax.random.key(3), 25):
        found, start, step, at_start, halves = searcher(bound)(key, length)
        good = [
            i
            for i, (gain, kl) in enumerate(halves)
            if gain > at_start[0] and kl <= bound
        ]
        fraction = 0.5 ** good[0] if good else 0.0
        assert found.fraction == fraction
        np.testing.assert_allclose(found.params, start + fraction * step, rtol=1e-5)
        assert found.kl <= np.float32(bound)
        assert found.objective >= at_start[0]
        assert (found.objective > at_start[0]) == (fraction > 0)
        fractions.append(fraction)
    # Short steps are taken at once, wild ones are not taken at all.
    assert (length > 1e3) == (set(fractions) == {0.0})


def test_when_all_tries_fail_the_start_is_kept():
    """A descent, a step out of the ball in one try, and one to nowhere."""
    start = {"w": jnp.array([1.0, -2.0])}
    step = {"w": jnp.array([0.5, 1.0])}

    def both(params):
        d = params["w"] - start["w"]
        return jnp.sum(d), jnp.sum(jnp.square(d))

    downhill = jax.tree.map(jnp.negative, step)
    nowhere = jax.tree.map(lambda x: x * jnp.nan, step)
    cases = [(downhill, 10, 10.0), (step, 1, 0.1), (nowhere, 10, 0.1)]
    for tried, tries, bound in cases:
        found = backtracking_line_search(
            both, start, tried, kl_bound=bound, tries=tries
        )
        np.testing.assert_array_equal(found.params["w"], start["w"])
        assert (found.fraction, found.objective, found.kl) == (0.0, 0.0, 0.0)
    # With one try more there is something: 1.25/16 ≤ 0.1.
    found = backtracking_line_search(both, start, step, kl_bound=0.1, tries=3)
    assert found.fraction == 0.25
    np.testing.assert_allclose(found.kl, 1.25 / 16)
    np.testing.assert_allclose(found.params["w"], [1.125, -1.75])


def test_another_shrink_and_an_equal_objective():
    """1, 0.1, 0.01: the first within; what is no better is not taken."""
    line = backtracking_line_search(
        lambda x: (x, jnp.square(x)),
        jnp.zeros(()),
        jnp.ones(()),
        kl_bound=0.02,
        shrink=0.1,
    )
    np.testing.assert_allclose(line.fraction, 0.1)
    flat = backtracking_line_search(
        lambda x: (0.0 * x, jnp.square(x)), jnp.zeros(()), jnp.ones(()), kl_bound=2.0
    )
    assert flat.fraction == 0.0
