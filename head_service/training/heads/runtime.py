"""The one import of TensorFlow for training: quiet, and the same result each time."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from typing import Any


@functools.cache
def tensorflow() -> Any:
    """Takes seconds at the first call. Raises ModuleNotFoundError where the extra is missing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # oneDNN's rewrites change results in the last digits (and announce themselves on stderr at import).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    # Sums split among threads differ in their last digits. A process that has run TensorFlow before keeps its threads.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    return tf
