"""Every fault of an environment at once, for `reins check-env`."""

from reins.envs.check.finding import Finding
from reins.envs.check.report import Report, check_env

__all__ = ["Finding", "Report", "check_env"]
