# The reference service and the certifier: one image, locked dependencies, the models trained and packaged at build time.
# Any Debian with Python 3.11 will do as a base; no other image is pulled.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 curl \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv==0.13.9
WORKDIR /seatrial
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PATH=/seatrial/.venv/bin:$PATH
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --quiet --no-install-project --no-dev --extra service --extra flights --extra events
COPY README.md LICENSE seatrial.py ./
COPY simulator simulator
COPY reference_service reference_service
COPY scenarios scenarios
RUN /opt/uv/bin/uv sync --frozen --quiet --no-dev --extra service --extra flights --extra events \
 && python -m scenarios.prepare \
 && useradd --system --create-home --uid 10001 seatrial \
 && mkdir -p /var/lib/seatrial /var/lib/seatrial-releases && chown seatrial /var/lib/seatrial /var/lib/seatrial-releases
COPY ops ops
COPY deploy deploy
USER seatrial
# A named volume takes over the owner of the folder that it covers.
VOLUME ["/var/lib/seatrial", "/var/lib/seatrial-releases"]
