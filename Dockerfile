# One image for each program: `docker build --target control|agent|demo .`
#
# The last stages only copy, so BASE needs Python and nothing else: no shell, no package manager.
# BUILDER needs the same Python, at the same path, with venv and pip. For one image that is both, leave it out.
ARG BASE=docker.io/library/python:3.13-slim-bookworm
ARG BUILDER=${BASE}
# What the code is put on: a stage below, or an image made from that stage before.
ARG CONTROL=control-runtime
ARG AGENT=agent-runtime
ARG DEMO=demo-runtime

FROM ${BUILDER} AS builder
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY cluster/images/uv.txt /build/
RUN python3 -m venv /build/uv && /build/uv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/uv.txt
# Everything below /opt/proctor is what the image gets. The root file system is read-only where the images run, so
# bytecode is made here; nothing in the image changes later, so Python need not compare it with the source.
ENV UV_PROJECT_ENVIRONMENT=/opt/proctor UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /build
COPY pyproject.toml uv.lock ./

# The libraries of one program, in the versions and with the hashes of uv.lock, and the programs' names on PATH.
# `python -Iu` looks neither at the environment nor at the working directory: what runs is what the image holds.
FROM builder AS control-libraries
RUN --mount=type=cache,target=/root/.cache/uv,id=proctor-uv \
    /build/uv/bin/uv sync --frozen --quiet --no-default-groups --no-install-project --extra operator --extra gateway
COPY cluster/images/finish /build/
RUN sh /build/finish proctor-operator=proctor.shell.start proctor-gateway=proctor_gateway.main

FROM builder AS agent-libraries
RUN --mount=type=cache,target=/root/.cache/uv,id=proctor-uv \
    /build/uv/bin/uv sync --frozen --quiet --no-default-groups --no-install-project --extra agent
COPY cluster/images/finish /build/
RUN sh /build/finish proctor-agent=proctor_agent.main proctor-agent-probe=proctor_agent.probe

FROM builder AS demo-libraries
RUN --mount=type=cache,target=/root/.cache/uv,id=proctor-uv \
    /build/uv/bin/uv sync --frozen --quiet --no-default-groups --no-install-project --extra demo
COPY cluster/images/finish /build/
RUN sh /build/finish proctor-demo=proctor_demo.main

# Our own code: a layer of its own above the libraries, so that a change of a line is a small layer.
FROM ${BUILDER} AS control-code
COPY operator/proctor /code/proctor
COPY runtime/proctor_gateway /code/proctor_gateway
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -s / -p /opt/proctor /code

FROM ${BUILDER} AS agent-code
COPY runtime/proctor_agent /code/proctor_agent
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -s / -p /opt/proctor /code

FROM ${BUILDER} AS demo-code
COPY demo/proctor_demo /code/proctor_demo
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -s / -p /opt/proctor /code

FROM ${BASE} AS runtime
# BASE has no entry for this user: what asks for its name or home finds them here.
ENV PATH=/opt/proctor/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp LOGNAME=proctor
USER 65532:65532
WORKDIR /

FROM runtime AS control-runtime
COPY --from=control-libraries /opt/proctor /opt/proctor

FROM runtime AS agent-runtime
COPY --from=agent-libraries /opt/proctor /opt/proctor

FROM runtime AS demo-runtime
COPY --from=demo-libraries /opt/proctor /opt/proctor

FROM ${CONTROL} AS control
COPY --from=control-code /code /opt/proctor/code
CMD ["proctor-operator"]

FROM ${AGENT} AS agent
COPY --from=agent-code /code /opt/proctor/code
ENTRYPOINT ["proctor-agent"]

FROM ${DEMO} AS demo
COPY --from=demo-code /code /opt/proctor/code
ENTRYPOINT ["proctor-demo"]
