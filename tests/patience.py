"""How long is too long: bounds in seconds are those of a core of one's own, and stretch where there is less."""

import time

#: What a core of one's own takes for `_loop`, in seconds.
_USUAL = 0.01
#: From how many times that on a machine counts as starved. Beside another test, a core is not all of one's own.
_STARVED = 5.0
_slowest = 1.0


def _loop() -> float:
    begun = time.perf_counter()
    for _ in range(500_000):
        pass
    return time.perf_counter() - begun


def fair(seconds: float) -> float:
    """As many seconds as this machine may need for what a core of one's own does in `seconds`.

    The slowest that it was seen at in this process counts: a starved machine stands still between good moments.
    """
    global _slowest  # noqa: PLW0603
    _slowest = max(_slowest, *(_loop() / _USUAL for _ in range(4)))
    return seconds * min(_slowest, 20) + (3 if _slowest > _STARVED else 0)


def skip_if_starved() -> None:
    """Skip a test of what lasts a certain time by itself: here it would end before it is looked at."""
    import pytest  # which no process of a person's has

    if fair(1) > _STARVED:
        pytest.skip("this machine stands still for seconds")
