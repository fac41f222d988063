"""Environments: compiled, as Gymnasium sees them, and wrapped in rules and costs."""

from reins.envs.actions import (
    HybridSpace,
    hybrid_space,
    hybrid_tuple,
    hybrid_vector,
    kept_actions,
)
from reins.envs.autoreset import AutoresetVector
from reins.envs.classic import (
    acrobot,
    cart_pole,
    mountain_car,
    mountain_car_continuous,
    pendulum,
)
from reins.envs.env import Boundary, Env, Rule, Step
from reins.envs.golf import golf
from reins.envs.gymnasium import CompiledEnv, CostWrapper, with_bonus, with_cost
from reins.envs.host import (
    HostOptions,
    Vectorisation,
    host_env,
    is_image,
    providers,
    single_env,
)
from reins.envs.mujoco import mujoco_env
from reins.envs.point_circle import point_circle, point_circle_constrained
from reins.envs.registry import (
    ENVS,
    HOST_ENVS,
    EnvEntry,
    HostEntry,
    constrained_twin,
    env_entry,
    gymnasium_env,
    make_env,
    nominal_twin,
    register,
    true_rule,
    twin_ids,
)
from reins.envs.replay import replay_of
from reins.envs.two_doors import two_doors
from reins.envs.vector import HostEnv, VectorEnv, VectorStep
from reins.envs.walls import Wall, forbid

__all__ = [
    "ENVS",
    "HOST_ENVS",
    "AutoresetVector",
    "Boundary",
    "CompiledEnv",
    "CostWrapper",
    "Env",
    "EnvEntry",
    "HostEntry",
    "HostEnv",
    "HostOptions",
    "HybridSpace",
    "Rule",
    "Step",
    "VectorEnv",
    "VectorStep",
    "Vectorisation",
    "Wall",
    "acrobot",
    "cart_pole",
    "constrained_twin",
    "env_entry",
    "forbid",
    "golf",
    "gymnasium_env",
    "host_env",
    "hybrid_space",
    "hybrid_tuple",
    "hybrid_vector",
    "is_image",
    "kept_actions",
    "make_env",
    "mountain_car",
    "mountain_car_continuous",
    "mujoco_env",
    "nominal_twin",
    "pendulum",
    "point_circle",
    "point_circle_constrained",
    "providers",
    "register",
    "replay_of",
    "single_env",
    "true_rule",
    "twin_ids",
    "two_doors",
    "with_bonus",
    "with_cost",
]
