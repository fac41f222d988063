"""PPO of rejax or PureJaxRL on gymnax's CartPole-v1, timed in its steady state.

    python train_gymnax.py rejax '{"environments": 64, "seeds": 1, "seconds": 20, ...}'
    python train_gymnax.py purejaxrl '{"purejaxrl": "/a/checkout/of/it", ...}'

It runs in the peers' own environment, knows nothing of reins, and prints one line of
JSON. Both train many updates in one compiled call, as they mean to be used; seeds are
a vmapped axis. rejax is spared its evaluations. PureJaxRL has no other door than a
whole training, and begins one in every call; that it makes its networks anew costs
some thousandths of the time.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import importlib.metadata
import json
import platform
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import jax

UPDATES_IN_A_CALL = 40
"""Of all seeds together."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "gymnax")
MORE = {"rejax": "rejax", "purejaxrl": "distrax"}


def updates_in_a_call(settings: dict) -> int:
    """Of each seed."""
    return max(1, UPDATES_IN_A_CALL // settings["seeds"])


def of_rejax(settings: dict) -> tuple[Callable[[Any], Any], Any]:
    """More updates of a state, and a first state."""
    from rejax import PPO

    n, batch_steps = settings["environments"], settings["batch_steps"]
    steps = updates_in_a_call(settings) * batch_steps
    agent = PPO.create(
        env=settings["env"].removeprefix("reins/"),
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": settings["hidden"]},
        num_envs=n,
        num_steps=batch_steps // n,
        num_epochs=settings["epochs"],
        num_minibatches=batch_steps // settings["minibatch_steps"],
        learning_rate=settings["learning_rate"],
        max_grad_norm=settings["max_gradient_norm"],
        gamma=settings["discount"],
        gae_lambda=settings["gae_lambda"],
        clip_eps=settings["clip_epsilon"],
        ent_coef=settings["entropy_weight"],
        vf_coef=settings["value_weight"],
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
    ).replace(eval_callback=lambda agent, state, key: ())
    keys = jax.random.split(jax.random.PRNGKey(0), settings["seeds"])
    state = jax.vmap(agent.init_state)(keys)
    go = jax.jit(jax.vmap(lambda state: agent.train(train_state=state)[0]))
    return go, state


def of_purejaxrl(settings: dict) -> tuple[Callable[[Any], Any], Any]:
    """A whole training from keys, whose result is the keys of the next one."""
    checkout = settings["purejaxrl"]
    sys.path[:0] = [checkout, f"{checkout}/purejaxrl"]
    # Its wrappers import brax, for environments that are not used here.
    brax: Any = types.ModuleType("brax")
    brax.envs = None
    sys.modules["brax"] = brax
    from purejaxrl.ppo import make_train

    n, batch_steps = settings["environments"], settings["batch_steps"]
    if settings["hidden"] != [64, 64]:
        raise ValueError("PureJaxRL's networks are two layers of 64.")
    train = make_train(
        {
            "ENV_NAME": settings["env"].removeprefix("reins/"),
            "ACTIVATION": "tanh",
            "ANNEAL_LR": False,
            "LR": settings["learning_rate"],
            "MAX_GRAD_NORM": settings["max_gradient_norm"],
            "NUM_ENVS": n,
            "NUM_STEPS": batch_steps // n,
            "TOTAL_TIMESTEPS": updates_in_a_call(settings) * batch_steps,
            "UPDATE_EPOCHS": settings["epochs"],
            "NUM_MINIBATCHES": batch_steps // settings["minibatch_steps"],
            "GAMMA": settings["discount"],
            "GAE_LAMBDA": settings["gae_lambda"],
            "CLIP_EPS": settings["clip_epsilon"],
            "ENT_COEF": settings["entropy_weight"],
            "VF_COEF": settings["value_weight"],
        }
    )

    def whole(key: Any) -> Any:
        result = train(key)
        return result["runner_state"][-1], result["metrics"]

    compiled = jax.jit(jax.vmap(whole))
    keys = jax.random.split(jax.random.PRNGKey(0), settings["seeds"])
    return lambda keys: compiled(jax.block_until_ready(keys))[0], keys


def main() -> None:
    library, settings = sys.argv[1], json.loads(sys.argv[2])
    go, state = (of_rejax if library == "rejax" else of_purejaxrl)(settings)
    state = jax.block_until_ready(go(state))
    calls, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        state = jax.block_until_ready(go(state))
        calls += 1
    names = (*PACKAGES, MORE[library])
    found = {name: importlib.metadata.version(name) for name in names}
    updates = calls * updates_in_a_call(settings)
    result = {
        "steps": updates * settings["batch_steps"] * settings["seeds"],
        "seconds": seconds,
        "parts": {},
        "threads": {"devices": jax.local_device_count()},
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
