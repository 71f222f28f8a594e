"""Arithmetic on one thread: how sums are split among threads shows in their last digits, and weights should not depend on how
many cores trained them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Of numpy and scipy; TensorFlow's threads are runtime.py's affair."""
    import scipy.optimize  # noqa: F401  its library of matrix routines can only be held once it is loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
