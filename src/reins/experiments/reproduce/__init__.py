"""Published or promised tables, as queues of runs that go on where they stopped."""

from reins.experiments.reproduce.queue import (
    REPRODUCTIONS,
    ReproduceConfig,
    reproduce,
)

__all__ = ["REPRODUCTIONS", "ReproduceConfig", "reproduce"]
