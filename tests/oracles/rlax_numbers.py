"""Make rlax.json: what google-deepmind/rlax says of a few fixed rows.

Run once, in an environment of its own (rlax is no dependency of this project):

    python -m venv /tmp/rlax && /tmp/rlax/bin/pip install rlax==0.1.9
    /tmp/rlax/bin/python tests/oracles/rlax_numbers.py > tests/oracles/rlax.json

In rlax the reward and the discount that follow action a_t have the index t + 1, and a
discount of 0 ends the bootstrap and the sum. Every function takes one row. Its V-trace
always cuts the trace at a ratio of 1, so ratios above 1 go through `leaky_vtrace` with
alpha 0, which cuts nothing.
"""

import json
import sys

import jax
import numpy as np
import rlax  # pyright: ignore[reportMissingImports]

jax.config.update("jax_enable_x64", True)

DISCOUNT, LAMBDA, STEPS = 0.9, 0.7, 3
ROWS = {
    "rewards": [[1.0, -0.5, 2.0, 0.25, -1.5, 3.0], [0.5, 4.0, -2.0, 1.0, 0.0, 0.0]],
    "values": [[0.3, 1.1, -0.7, 2.0, 0.4, -0.2], [1.5, -0.6, 0.8, 0.1, 0.9, -1.2]],
    "last_values": [0.6, -0.4],
    "terminated": [[False] * 6, [False, False, False, True, False, False]],
    "ratios": [[1.4, 0.2, 2.5, 0.9, 0.6, 3.1], [0.3, 1.7, 0.5, 2.2, 1.0, 1.0]],
    "small_ratios": [[0.7, 0.2, 1.0, 0.9, 0.6, 0.4], [0.3, 0.8, 0.5, 0.1, 1.0, 1.0]],
}


def numbers(row: dict) -> dict[str, list[float]]:
    """All that rlax computes of one row."""
    rewards, values, terminated, ratios, small_ratios = (
        np.asarray(row[name])
        for name in ("rewards", "values", "terminated", "ratios", "small_ratios")
    )
    discounts = DISCOUNT * (1.0 - terminated)
    following = np.append(values[1:], row["last_values"])
    nothing = np.zeros_like(rewards)
    critic = (rewards, discounts, following)
    without = (nothing, nothing, rewards, discounts)
    v_trace = rlax.vtrace_td_error_and_advantage(*without, small_ratios)
    found = {
        "discounted_returns": rlax.discounted_returns(rewards, discounts, nothing),
        "lambda_returns": rlax.lambda_returns(*critic, LAMBDA),
        "n_step_bootstrapped_returns": rlax.n_step_bootstrapped_returns(*critic, STEPS),
        "truncated_generalized_advantage_estimation": (
            rlax.truncated_generalized_advantage_estimation(
                rewards, discounts, LAMBDA, np.append(values, row["last_values"])
            )
        ),
        "leaky_vtrace": rlax.leaky_vtrace(*without, ratios, alpha_=0.0),
        "vtrace": rlax.vtrace(*without, small_ratios),
        "vtrace_q_estimate": v_trace.q_estimate,
        "vtrace_pg_advantage": v_trace.pg_advantage,
    }
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def main() -> None:
    """Print the rows, the numbers, and what made them."""
    rows = [{name: of[i] for name, of in ROWS.items()} for i in range(2)]
    each = [numbers(row) for row in rows]
    made = {
        "command": "python tests/oracles/rlax_numbers.py > tests/oracles/rlax.json",
        "versions": {
            "rlax": rlax.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "options": {"discount": DISCOUNT, "lambda": LAMBDA, "steps": STEPS},
        "rows": ROWS,
        "numbers": {name: [row[name] for row in each] for name in each[0]},
    }
    json.dump(made, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
