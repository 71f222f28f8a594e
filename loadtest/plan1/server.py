"""The plain way: Flask around a sentence encoder and a head, both in this process. Runs in .venv-plan1."""

from __future__ import annotations

import argparse
from typing import Any

import tensorflow as tf
import waitress
from flask import Flask, request
from sentence_transformers import SentenceTransformer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", required=True, help="folder of a sentence-transformers model")
    parser.add_argument("--head", required=True, help="folder of a head's SavedModel")
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args()
    waitress.serve(application(given.encoder, given.head), host="127.0.0.1", port=given.port, threads=4)


def application(encoder_folder: str, head_folder: str) -> Flask:
    encoder = SentenceTransformer(encoder_folder, device="cpu")
    loaded = tf.saved_model.load(head_folder)       # kept: its signatures do not keep it alive
    head = loaded.signatures["serving_default"]
    app = Flask(__name__)

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/classify")
    def classify() -> dict[str, Any]:
        vectors = encoder.encode([request.get_json()["text"]], show_progress_bar=False)     # [1, D]
        answer = head(embedding=tf.constant(vectors))
        return {"label": answer["label"].numpy()[0].decode(), "score": float(answer["score"].numpy()[0])}

    app.config["loaded"] = loaded
    return app


if __name__ == "__main__":
    main()
