# The page and the HTTP API in a container (docs/docker.md). The first stage builds the wheel, which needs torch to export
# the network; the second stage installs the wheel without torch. Keep .dockerignore in step with COPY.

FROM python:3.13-slim AS build
# PyTorch's index of CPU builds saves the download of CUDA: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
# The version, which is not read from git here.
ARG SETUPTOOLS_SCM_PRETEND_VERSION_FOR_ONELOOK
WORKDIR /source
COPY LICENSE LICENSE-WEIGHTS MANIFEST.in README.md constraints.txt pyproject.toml ./
COPY build_backend build_backend
COPY src src
# The editable installation brings the packages that the export of the network runs on.
RUN pip install --no-cache-dir torch==2.13.0 \
    && pip install --no-cache-dir --constraint constraints.txt build onnx setuptools setuptools-scm --editable . \
    && python -m build --wheel --no-isolation --skip-dependency-check --outdir build/wheel

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/source,target=/source \
    pip install --no-cache-dir --constraint /source/constraints.txt \
        "$(echo /source/build/wheel/onelook-*.whl)[page,api]" \
    && onelook --version \
    && useradd --uid 10001 --no-create-home --home-dir /data onelook \
    && install --directory --owner=onelook --group=onelook /data
ENV DO_NOT_TRACK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    NICEGUI_STORAGE_PATH=/tmp/nicegui \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The gallery is /data/gallery, beside its lock. Everything else may be read-only, but /tmp.
WORKDIR /data
VOLUME /data
# By number, so that an orchestrator can check that it is not root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["onelook"]
CMD ["serve", "--api", "--host", "0.0.0.0"]
