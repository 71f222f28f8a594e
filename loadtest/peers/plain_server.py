"""The plain way to serve an encoder: sentence-transformers `encode` in FastAPI's thread pool. Runs in .venv-plain."""

import argparse

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Texts(BaseModel):
    input: list[str]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", required=True, help="folder of a sentence-transformers model")
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args()
    uvicorn.run(application(given.encoder), host="127.0.0.1", port=given.port, log_level="warning", access_log=False)


def application(folder: str) -> FastAPI:
    encoder = SentenceTransformer(folder, device="cpu")
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/embed")
    def embed(texts: Texts) -> dict[str, list[list[float]]]:        # not async: FastAPI runs it in its thread pool
        vectors = encoder.encode(texts.input, show_progress_bar=False, normalize_embeddings=True)
        return {"vectors": vectors.tolist()}

    return app


if __name__ == "__main__":
    main()
