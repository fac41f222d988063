"""Settings under a name: what was published, and what has served best here.

A preset gives way: what is said beside it stands. A run's record and the commands that
are told hold each setting by itself, since the same name may mean more tomorrow.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reins.envs import twin_ids
from reins.errors import ConfigError, unknown_name

Settings = Mapping[str, Any]
ANYWHERE = ""
"""In place of an environment's id: in every environment."""


class Preset(NamedTuple):
    """Settings by agent or method, and by the environment's nominal id.

    Attributes:
      summary: one line for `reins list`.
      settings: what holds `ANYWHERE` comes first, where there is such; what is said of
        the environment beside it takes its place.
    """

    summary: str
    settings: Mapping[str, Mapping[str, Settings]]


_LAP, _CHEETAH = "reins/LapGridWorld-v0", "reins/HalfCheetahWall-v0"
_ANT, _BROKEN = "reins/AntWall-v0", "reins/AntBrokenWall-v0"
_POINT = "reins/PointCircleWall-v0"

_SMOOTH: Settings = {
    "learning_rate": 3e-4,
    "learning_rate_decay": "linear",
    "log_std": -1.0,
}
"""What robots want of PPO, whatever it is told of costs."""
_TRAINED: Settings = {
    **_SMOOTH,
    "steps": 1_000_000,
    "environments": 16,
    "rollout_steps": 250,
    "minibatches": 16,
}
_WHOLE: Settings = {
    **_SMOOTH,
    "steps": 2_000_000,
    "environments": 10,
    "rollout_steps": 1000,
    "minibatches": 40,
}
"""Batches of whole episodes, which a constraint is learned from."""
_BY_RETURN: Settings = {
    "weighting": "return",
    "early_stop": "off",
    "temperature": 100.0,
    "cooling": 30,
    "forward": "relative-cost",
    "forward_updates": 1,
    "constraint_learning_rate": 0.003,
    "anneal": 0.98,
    "dual_maximum": 2.0,  # running deviations of the return for a unit of cost
}
_ANTS: Settings = {"steps": 4_000_000, "environments": 20, "rollout_steps": 500}
"""Whose episodes have 500 steps."""
_TRAINED_ANTS: Settings = {**_ANTS, "minibatches": 40}
_BY_ROBOT = {
    ANYWHERE: _TRAINED,
    _ANT: _TRAINED_ANTS,
    _BROKEN: {**_TRAINED_ANTS, "steps": 2_000_000},
}

_ROBOTS = Preset(
    "What has served best on robots with a wall.",
    {
        "ppo": _BY_ROBOT,
        "ppo-lagrangian": _BY_ROBOT,
        "icrl": {
            ANYWHERE: {**_WHOLE, **_BY_RETURN},
            _ANT: {**_ANTS, "temperature": 200.0},
        },
        "classifier": {ANYWHERE: {**_WHOLE, "forward_updates": 1}, _ANT: _ANTS},
        "gail-constraint": {ANYWHERE: _WHOLE, _ANT: _ANTS},
    },
)

_PPO_2021: Settings = {
    "environments": 5,
    "rollout_steps": 2048,
    "learning_rate": 3e-4,
    "minibatches": 160,  # of 64 steps
    "kl_stop": 0.015,  # 1.5 times the target
}
_COST_2021: Settings = {"dual": "softplus", "dual_initial": 1.0}
_ANT_PPO_2021: Settings = {
    **_PPO_2021,
    "learning_rate": 3e-5,
    "minibatches": 80,  # of 128 steps
    "epochs": 20,
    "clip_epsilon": 0.4,
    "kl_stop": 0.03,
    "gae_lambda": 0.9,
}
_ANT_COST_2021: Settings = {
    "dual": "softplus",
    "dual_initial": 0.1,
    "cost_gae_lambda": 0.9,
}


def _price(rate: float, horizon: int) -> Settings:
    """2021's step size of the multiplier, which was for the cost of a step."""
    return {"dual_learning_rate": rate / horizon}


_STOP_2021: Settings = {
    "early_stop": "printed",
    "kl_old_new": 10.0,
    "min_ess_fraction": 0.0,
}
_LAP_2021: Settings = {**_PPO_2021, **_COST_2021, **_price(0.1, 200)}
_CHEETAH_2021: Settings = {
    **_PPO_2021,
    **_COST_2021,
    **_price(0.1, 1000),
    "steps": 30 * 20 * 10_240,
    "forward_updates": 20,
    "constraint_learning_rate": 0.05,
    "anneal": 0.9,
    "backward_steps": 10,
}
_ANT_2021: Settings = {
    **_ANT_PPO_2021,
    **_ANT_COST_2021,
    **_price(0.05, 500),
    "steps": 20 * 20 * 10_240,
    "forward_updates": 20,
    "constraint_hidden": (40, 40),
    "constraint_learning_rate": 0.005,
    "anneal": 0.9,
    "backward_steps": 5,
}
_ICRL_2021 = Preset(
    "S2's settings as the commands published in 2021 have them, as near as there are.",
    {
        "icrl": {
            _LAP: {
                **_LAP_2021,
                **_STOP_2021,
                "steps": 10 * 5 * 10_240,
                "forward_updates": 5,
                "constraint_learning_rate": 0.003,
                "backward_steps": 20,
                "regulariser": 0.0,
                "weighting": "trajectory",
                "kl_new_old": 10.0,
            },
            # Its weights of single steps cancelled.
            _CHEETAH: {
                **_CHEETAH_2021,
                **_STOP_2021,
                "regulariser": 0.5,
                "weighting": "none",
                "kl_new_old": 2.5,
            },
            _ANT: {
                **_ANT_2021,
                **_STOP_2021,
                "regulariser": 0.6,
                "weighting": "none",
                "kl_new_old": 2.5,
            },
        },
        "classifier": {
            _LAP: {
                **_LAP_2021,
                "steps": 12 * 10_000,
                "rollout_steps": 2000,
                "minibatches": 200,  # of 50: those of 64 are not equal
                "forward_updates": 1,
                "constraint_learning_rate": 0.01,
                "backward_steps": 10,
            },
            _CHEETAH: {**_CHEETAH_2021, "constraint_hidden": (30,)},
            _ANT: _ANT_2021,
        },
        "gail-constraint": {
            env_id: {
                **ppo,
                "steps": steps,
                "constraint_hidden": hidden,
                "constraint_learning_rate": rate,
                "backward_steps": 1,
                "clip": 1e6,  # observations were not clipped
            }
            for env_id, ppo, steps, hidden, rate in (
                (_LAP, _PPO_2021, 120_000, (20,), 0.01),
                (_CHEETAH, _PPO_2021, 4_000_000, (30,), 0.003),
                (_ANT, _ANT_PPO_2021, 4_000_000, (40, 40), 0.005),
            )
        },
        "ppo-lagrangian": {
            # Experts, and on the last two what a constraint was carried to.
            _LAP: {**_LAP_2021, "steps": 1_000_000},
            _CHEETAH: {
                **_PPO_2021,
                **_COST_2021,
                **_price(0.1, 1000),
                "steps": 5_000_000,
            },
            _ANT: {
                **_ANT_PPO_2021,
                **_ANT_COST_2021,
                **_price(0.1, 500),
                "dual_initial": 1.0,
                "kl_stop": None,
                "steps": 5_000_000,
            },
            _POINT: {
                **_PPO_2021,
                **_COST_2021,
                **_price(1.0, 150),
                "normalise_observations": "on",
                "normalise_rewards": "on",
                "steps": 1_500_000,
            },
            _BROKEN: {
                **_ANT_PPO_2021,
                **_COST_2021,
                **_price(1.0, 500),
                "kl_stop": 0.015,
                "steps": 2_000_000,
            },
        },
    },
)

PRESETS: dict[str, Preset] = {"robots": _ROBOTS, "icrl-2021": _ICRL_2021}


def settings_of(name: str, agent: str, env_id: str) -> dict[str, Any]:
    """What a preset says for an agent (or a method) in an environment.

    Raises: ConfigError when there is no such preset, or it has nothing to say here.
    """
    check_preset(name)
    by_agent = PRESETS[name].settings
    nominal = twin_ids(env_id)[0]
    told = by_agent.get(agent, {})
    if ANYWHERE not in told and nominal not in told:
        known = [
            f"{one} in {'any' if ANYWHERE in envs else ' or '.join(envs)}"
            for one, envs in by_agent.items()
        ]
        raise ConfigError(
            f"the preset `{name}` was asked for with `{agent}` in {env_id}, of which "
            f"it says nothing. It has settings for {'; '.join(known)}."
        )
    return {**told.get(ANYWHERE, {}), **told.get(nominal, {})}


def check_preset(name: str | None) -> None:
    """Raises: ConfigError when there is no preset of that name."""
    if name is not None and name not in PRESETS:
        raise ConfigError(unknown_name("preset", name, PRESETS))
