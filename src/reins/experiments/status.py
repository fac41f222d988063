"""What compiled code can only report as a number, said in a sentence."""

from collections.abc import Iterator, Sequence
from typing import Any

STATUS = {
    "weights_degenerate": (
        "in {share:.0%} of the latest updates one action of each state had almost all "
        "of the weight (ess below 1.1), so that the policy follows single samples. A "
        "higher temperature or more --action-samples spreads the weight"
    ),
}
"""By the name of the metric, which is the share of updates of which it is true."""

OFTEN = 0.5
"""The share from which it is news."""


def status_news(
    row: dict[str, Any], seeds: Sequence[int], before: Sequence[str]
) -> Iterator[str]:
    """A sentence for each status of a seed that is news and was not told before."""
    for name, sentence in STATUS.items():
        for seed, share in zip(seeds, row.get(name, ()), strict=False):
            about = f"seed {seed}: {name}:"
            if share >= OFTEN and not any(about in told for told in before):
                yield f"{about} {sentence.format(share=share)}."
