"""A SavedModel behind a TF1 session, run through the C++ entry that TF-Serving uses: error codes and texts are its own,
and a call of a small head costs 20 us where a loaded signature costs 180. The only importer of TensorFlow here.

`TF_SessionRun_wrapper` is no public name; it is there in TensorFlow 2.15 to 2.21. The public `Session.run` is no
replacement: besides being slow it refuses shapes that TF-Serving takes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from head_service.model_server.model import Array
from head_service.model_server.quickness import Quickness
from head_service.model_server.settings import SessionSettings
from head_service.model_server.status import Code, ServingError
from twohop.wire import tfserving_pb2 as wire

GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
_LONGEST_MS = 2**62
_ON_CALLERS_THREAD = -1


@cache
def tensorflow() -> Any:
    """Quiet unless the environment says otherwise: errors only, as each wrong request would leave a warning."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    return tf


class SavedModel:
    """One version, loaded. Threads may share it. `open_model` makes it."""

    def __init__(self, session: Any, graph: Any, signatures: Mapping[str, wire.SignatureDef]) -> None:
        from tensorflow.python.client import pywrap_tf_session

        self.signatures = signatures
        self._api = pywrap_tf_session
        self._session = session
        self._graph = graph
        self._lock = threading.Lock()
        self._tensors: dict[str, Any] = {}
        self._quickness = Quickness()

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        """See `model.Model`."""
        inputs = {self._tensor(name): value for name, value in feeds.items()}
        outputs = [self._tensor(name) for name in fetches]
        options = self._options(timeout_ms)
        begun = time.perf_counter()
        try:
            fetched = self._api.TF_SessionRun_wrapper(self._session._session, options, inputs, outputs, [], None)
            self._quickness.took(time.perf_counter() - begun)
            return list(fetched)
        except tensorflow().errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from None
        except (TypeError, ValueError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from None
        finally:
            if options is not None:
                self._api.TF_DeleteBuffer(options)

    def close(self) -> None:
        self._session.close()

    def _options(self, timeout_ms: int) -> Any:
        """A quick graph runs on the caller's thread: waking one of TensorFlow's takes several times as long as the run
        of a small head (90 us against 15)."""
        if timeout_ms <= 0 and not self._quickness.is_quick:
            return None
        options = tensorflow().compat.v1.RunOptions(timeout_in_ms=min(max(0, timeout_ms), _LONGEST_MS))
        if self._quickness.is_quick:
            options.inter_op_thread_pool = _ON_CALLERS_THREAD
        return self._api.TF_NewBufferFromString(options.SerializeToString())

    def _tensor(self, name: str) -> Any:
        found = self._tensors.get(name)
        if found is None:
            with self._lock:
                found = self._tensors[name] = self._lookup(name if ":" in name else f"{name}:0")
        return found

    def _lookup(self, name: str) -> Any:
        try:
            return self._graph.get_tensor_by_name(name)._as_tf_output()
        except (KeyError, ValueError):
            raise ServingError(
                Code.NOT_FOUND,
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph",
            ) from None


def open_model(path: str, settings: SessionSettings) -> SavedModel:
    """Loads the SavedModel in the folder `path` and runs its initialisation. Raises ServingError: NOT_FOUND without a
    graph, or without one of the wanted tags; DATA_LOSS for a torn one; UNIMPLEMENTED for formats of the past."""
    _check_files(Path(path))
    tf = tensorflow()
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=_config(settings))
    try:
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(session, list(settings.tags), path)
        session._extend_graph()
    except BaseException as error:
        session.close()
        failure = _why(error, path, settings)
        if failure is None:
            raise
        raise failure from error
    signatures = {
        name: wire.SignatureDef.FromString(signature.SerializeToString()) for name, signature in loaded.signature_def.items()
    }
    return SavedModel(session, graph, signatures)


def records(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file. Raises ServingError: DATA_LOSS for a torn one or another format."""
    from tensorflow.python.lib.io import _pywrap_record_io

    try:
        yield from _pywrap_record_io.RecordIterator(path, "")
    except tensorflow().errors.OpError as error:
        raise ServingError(Code(error.error_code), error.message) from None


def _check_files(folder: Path) -> None:
    if any((folder / name).exists() for name in GRAPHS):
        return
    if (folder / "export.meta").exists():
        raise ServingError(Code.UNIMPLEMENTED, f"SessionBundle is no longer supported: {folder}")
    raise ServingError(
        Code.NOT_FOUND,
        "Specified file path does not appear to contain a SavedModel bundle (should have a file called `saved_model.pb`)\n"
        f"Specified file path: {folder}",
    )


def _config(settings: SessionSettings) -> Any:
    return tensorflow().compat.v1.ConfigProto(
        intra_op_parallelism_threads=settings.intra_op_threads, inter_op_parallelism_threads=settings.inter_op_threads
    )


def _why(error: BaseException, path: str, settings: SessionSettings) -> ServingError | None:
    """TensorFlow's Python loader raises plain errors; what TF-Serving's says of the same folder is this."""
    text = str(error)
    if isinstance(error, tensorflow().errors.OpError):
        return ServingError(Code(error.error_code), error.message)
    if isinstance(error, OSError):
        return ServingError(Code.DATA_LOSS, f"Can't parse {path}/saved_model.pb as binary proto: {text}")
    if isinstance(error, RuntimeError) and "MetaGraphDef" in text:
        return ServingError(
            Code.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(settings.tags)} }}. To inspect available "
            "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        )
    if isinstance(error, ValueError):                       # no variables, an operation that is not registered
        return ServingError(Code.NOT_FOUND, text)
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {text}") if isinstance(error, Exception) else None
