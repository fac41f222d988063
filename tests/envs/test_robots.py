"""The records of the robots, against Gymnasium's."""

import gymnasium
import numpy as np
import pytest

from reins.envs.robots import ROBOTS, healthy_bounds

OTHERWISE = {
    "Hopper-v5": {
        "healthy_state_range": (-0.25, 2.0),
        "healthy_angle_range": (-0.4, 0.1),
    },
    "Walker2d-v5": {"healthy_z_range": (1.0, 1.5), "healthy_angle_range": [-1, 0.3]},
    "Ant-v5": {"healthy_z_range": (-0.1, 0.7)},
    "Humanoid-v5": {"healthy_z_range": (1.2, float("inf"))},
}
FALLING = [env_id for env_id, robot in ROBOTS.items() if robot.healthy]


@pytest.mark.parametrize("env_id", FALLING)
@pytest.mark.parametrize("otherwise", [False, True])
def test_a_robot_is_healthy_where_gymnasium_says_so_and_on_the_edge_too(
    env_id, otherwise
):
    robot = ROBOTS[env_id]
    given = OTHERWISE[env_id] if otherwise else {}
    theirs = gymnasium.make(env_id, **given).unwrapped
    arguments = {**robot.arguments, **given}
    theirs.reset(seed=0)
    upright = theirs.state_vector()
    low, high = healthy_bounds(robot, arguments, upright.size)
    ends = {
        end for name in robot.healthy for end in arguments[name] if abs(end) < np.inf
    }
    verdicts = []
    for entry in range(upright.size):
        for end in ends:
            for value in (end, np.nextafter(end, -np.inf), np.nextafter(end, np.inf)):
                state = upright.copy()
                state[entry] = value
                theirs.data.qpos[:] = state[: theirs.model.nq]
                theirs.data.qvel[:] = state[theirs.model.nq :]
                healthy = ((low < state) & (state < high)).all()
                assert healthy == theirs.is_healthy, (entry, value)
                verdicts.append(healthy)
    assert 0 < sum(verdicts) < len(verdicts)
