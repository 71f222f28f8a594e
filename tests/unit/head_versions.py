"""Versions of heads in a repository, for tests that do not train."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from head_service.repository import drafts, publish
from head_service.repository.manifest import EncoderIdentity, Manifest
from twohop.wire import tfserving_pb2 as wire

ENCODER = EncoderIdentity("minilm", "enc-0123456789ab", "rule-f32", 4)


def made(repository: Path, head: str = "sentiment", *, graph: bytes = b"", **options: object) -> publish.Published:
    """One more version, whose graph is nothing that runs."""
    about = Manifest(head, 0, "linear", ["a", "b"], ENCODER, "00", {"train": 1}, {"accuracy": 0.5}, "2026-11-24T08:00:00Z")
    with drafts.draft(repository, head) as folder:
        (folder / "saved_model.pb").write_bytes(graph)
        return publish.publish(repository, folder, about, **options)  # type: ignore[arg-type]


def config(repository: Path) -> dict[str, tuple[str, list[int]]]:
    """What TF-Serving reads: model -> base path, versions."""
    parsed = text_format.Parse((repository / "models.config").read_text(), wire.ModelServerConfig())
    return {
        model.name: (model.base_path, list(model.model_version_policy.specific.versions))
        for model in parsed.model_config_list.config
    }
