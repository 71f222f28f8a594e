"""The end of hop 1 as its callers see it: what was begun is finished and sent, or told."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from services import EmbeddingProcess, until

from twohop.embedding import EMBED
from twohop.wire import embedding_pb2 as wire

TOKENS = ("--model", "tokens=minilm:pooling=none", "--threads", "1")
ANY_SIZE = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]


@contextmanager
def slow_way(address: str, bytes_per_s: float) -> Iterator[str]:
    """An address that leads to `address`, whose answers come no faster than so."""
    host, port = address.rsplit(":", 1)

    def copy(source: socket.socket, target: socket.socket, pause: float) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
                time.sleep(len(data) * pause)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        def lead() -> None:
            near, _ = listener.accept()
            far = socket.create_connection((host, int(port)))
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            threading.Thread(target=copy, args=(near, far, 0), daemon=True).start()
            threading.Thread(target=copy, args=(far, near, 1 / bytes_per_s), daemon=True).start()

        threading.Thread(target=lead, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_reply_that_is_under_way_reaches_a_slow_reader(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *TOKENS).until_ready()
    texts = ["many words " * 12] * 600                               # 24 MB of vectors
    with slow_way(service.address, 8e6) as address, grpc.insecure_channel(address, options=ANY_SIZE) as channel:
        ask = channel.unary_unary(EMBED.path, wire.EmbedRequest.SerializeToString, wire.EmbedResponse.FromString)
        answer = ask.future(wire.EmbedRequest(texts=texts), timeout=60)
        until(lambda: service.metric("twohop_embedding_requests_total") == 1)
        assert not answer.done()
        service.process.send_signal(signal.SIGTERM)
        assert len(answer.result().rows) == 600
    assert service.ended() == 0


def test_what_is_not_done_when_the_time_is_over_is_told(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *TOKENS, "--drain-seconds", "0.5").until_ready()
    worker = service.worker()
    worker.suspend()                # so that the request never ends
    with grpc.insecure_channel(service.address, options=ANY_SIZE) as channel:
        ask = channel.unary_unary(EMBED.path, wire.EmbedRequest.SerializeToString, wire.EmbedResponse.FromString)
        answer = ask.future(wire.EmbedRequest(texts=["a"]), timeout=60)
        until(lambda: service.metric("twohop_embedding_requests_in_flight") == 1)
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            answer.result()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE       # type: ignore[attr-defined]
        trailers = dict(caught.value.trailing_metadata())               # type: ignore[attr-defined]
        assert trailers["twohop-error"] == "Unavailable"
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
    worker.kill()
    assert service.ended() == 0
