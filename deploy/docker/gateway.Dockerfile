# syntax=docker/dockerfile:1
# The gateway: both hops behind one HTTP address. Built from the root of the repository:
#   docker build -f deploy/docker/gateway.Dockerfile -t twohop/gateway .

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
COPY requirements/gateway.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/gateway.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
COPY deploy/docker/healthcheck.py /opt/twohop/healthcheck.py

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin twohop
COPY --from=environment /opt/twohop /opt/twohop
ENV PATH=/opt/twohop/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/tmp/cache
# Reachable from other containers; without keys and TLS the gateway refuses that until it is told --insecure.
ENV TWOHOP_GATEWAY_HOST=0.0.0.0
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "/opt/twohop/healthcheck.py", "TWOHOP_GATEWAY", "8000"]
ENTRYPOINT ["head-service"]
CMD ["gateway"]
