# syntax=docker/dockerfile:1
# Hop 2's workshop: trains heads through hop 1, evaluates, promotes, rolls back. Built from the root of the repository:
#   docker build -f deploy/docker/trainer.Dockerfile -t twohop/trainer .

FROM python:3.11.14-slim-bookworm AS wheel
WORKDIR /src
COPY requirements/build.txt requirements/
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY embedding_service embedding_service
COPY head_service head_service
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11.14-slim-bookworm AS environment
WORKDIR /src
RUN python -m venv /opt/twohop
ENV PATH=/opt/twohop/bin:$PATH
COPY requirements/head.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/head.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
COPY deploy/sample_heads.py /opt/twohop/sample_heads.py

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin twohop \
    && install --directory --owner=10001 --group=10001 /models
COPY --from=environment /opt/twohop /opt/twohop
ENV PATH=/opt/twohop/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/tmp/cache
USER 10001
VOLUME /models
# A program that ends: there is no service to ask.
HEALTHCHECK NONE
ENTRYPOINT ["head-service"]
CMD ["train", "--help"]
