"""How long to wait before trying again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FullJitter:
    """Any time up to a ceiling that doubles with each failure, in seconds.

    "Full jitter" of Brooker, "Exponential Backoff And Jitter" (AWS, 2015): clients that lost the same server do not
    return together.
    """

    base: float = 0.2
    ceiling: float = 10.0

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures before this one."""
        # The exponent is bounded because a float is not: 2.0 ** 1024 raises.
        return random.uniform(0, min(self.ceiling, self.base * 2 ** min(failures, 64)))
