"""reins: reinforcement learning as inference.

Policy-gradient estimators you can trust, and constraints you can learn from
demonstrations. The command line's verbs are functions here; the parts that they are
made of are in the subpackages, in the order in which data flows through them.
"""

from reins import lab
from reins.data import Demonstrations
from reins.envs import make_env, register, with_cost
from reins.experiments.api import Trained, learn_constraint, train
from reins.experiments.constraint_file import load_constraint
from reins.experiments.files import load_demonstrations, save_demonstrations
from reins.experiments.lab.run import write_study
from reins.experiments.load import LoadedAgent, load

register()

__all__ = [
    "Demonstrations",
    "LoadedAgent",
    "Trained",
    "lab",
    "learn_constraint",
    "load",
    "load_constraint",
    "load_demonstrations",
    "make_env",
    "register",
    "save_demonstrations",
    "train",
    "with_cost",
    "write_study",
]
