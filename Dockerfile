# syntax=docker/dockerfile:1
# keytoll as an image: the locked dependencies and the wheel, nothing to build with, no root.

FROM python:3.11-slim-bookworm AS build
COPY --from=ghcr.io/astral-sh/uv:0.9.9 /uv /usr/local/bin/uv
ENV UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_CACHE_DIR=/var/cache/uv \
    UV_PROJECT_ENVIRONMENT=/opt/keytoll
# The in-process engine is half of the image; where a ClickHouse server is used nobody needs it:
# WITHOUT="--no-install-package=chdb --no-install-package=chdb-core".
ARG WITHOUT=""
WORKDIR /source
# Dependencies first: they change less often than the program.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv sync --frozen --no-dev --no-install-project ${WITHOUT}
COPY api api
COPY domain domain
COPY pricing pricing
COPY projections projections
COPY workers workers
COPY keytoll keytoll
RUN --mount=type=cache,target=/var/cache/uv \
    uv sync --frozen --no-dev --no-editable ${WITHOUT}

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/keytoll --shell /usr/sbin/nologin keytoll
COPY --from=build /opt/keytoll /opt/keytoll
COPY deploy/healthcheck /usr/local/bin/healthcheck
ENV PATH=/opt/keytoll/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    KEYTOLL_DATA=/var/lib/keytoll/data \
    KEYTOLL_LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /var/lib/keytoll
VOLUME /var/lib/keytoll
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["healthcheck", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["keytoll"]
CMD ["serve"]
