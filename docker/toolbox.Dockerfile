# The workshop's tool box: Rust, a dockerd, and the programs that plugins run.
# docker/sandbox.sh builds it and starts a sandbox from it.

ARG BASE=rust:1.95-slim-trixie
FROM ${BASE}

# The rust image of some suppliers comes without what `make lint` runs.
RUN cargo fmt --version && cargo clippy --version \
    || rustup component add clippy rustfmt

RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        busybox-static \
        ca-certificates \
        curl \
        docker-cli \
        docker.io \
        e2fsprogs \
        iproute2 \
        iptables \
        make \
        mount \
        procps \
        strace \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*

# What the sandbox's dockerd runs without a network: the image `busybox`. The
# program comes last, for it lists a link of its own name, too.
RUN mkdir -p /opt/busybox/bin /opt/busybox/etc \
    && mkdir -m 1777 /opt/busybox/tmp \
    && cd /opt/busybox/bin \
    && busybox --list | xargs -n 1 ln -s busybox \
    && cp --remove-destination /bin/busybox busybox \
    && echo 'root:x:0:0:root:/:/bin/sh' >/opt/busybox/etc/passwd

COPY toolbox-init.sh /usr/local/bin/toolbox-init

WORKDIR /workshop
# tini reaps what a killed plugin or dockerd leaves behind.
ENTRYPOINT ["tini", "--", "toolbox-init"]
CMD ["boot"]
