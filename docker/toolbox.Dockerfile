# The image of the sandbox: Rust, a dockerd, and the programs that plugins run.
# docker/sandbox.sh builds the image and starts a sandbox from it.

ARG BASE=rust:1.95-slim-trixie
FROM ${BASE}

# Some suppliers' rust images lack the programs that `make lint` runs.
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

# The files of the image `busybox`, which the sandbox's dockerd imports without a
# network. The program is copied last, because it replaces a link of its own name.
RUN mkdir -p /opt/busybox/bin /opt/busybox/etc \
    && mkdir -m 1777 /opt/busybox/tmp \
    && cd /opt/busybox/bin \
    && busybox --list | xargs -n 1 ln -s busybox \
    && cp --remove-destination /bin/busybox busybox \
    && echo 'root:x:0:0:root:/:/bin/sh' >/opt/busybox/etc/passwd

COPY toolbox-init.sh /usr/local/bin/toolbox-init

# Tells the checker that plugins listen where dockerd looks for them.
ENV WORKSHOP_SANDBOX=yes
WORKDIR /workshop
# tini reaps the children of a killed plugin or dockerd.
ENTRYPOINT ["tini", "--", "toolbox-init"]
CMD ["boot"]
