# Redis, Prometheus, Alertmanager and nginx as Debian packages them: one small image each.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
ARG PACKAGE
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ${PACKAGE} curl \
 && rm -rf /var/lib/apt/lists/*
COPY ops /ops
COPY deploy /deploy
