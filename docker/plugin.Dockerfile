# A plugin as an image that holds one static program: --build-arg STEP=04.
# With --target driver, the image also has the programs that step 8 runs: mount,
# umount, losetup and mkfs.ext4.
# The build needs BuildKit: Docker 23 or newer, or DOCKER_BUILDKIT=1 before that.

ARG BASE=rust:1.95-slim-trixie
ARG DEBIAN=debian:trixie-slim
FROM ${BASE} AS build

# Optimise for size, because a plugin mostly waits for Docker and for disks. Panics
# must unwind, because the plugin answers a call that panics.
ENV CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=s \
    CARGO_PROFILE_RELEASE_STRIP=true \
    RUSTFLAGS="-C target-feature=+crt-static"

WORKDIR /workshop
COPY . .
ARG STEP=01
# The caches keep crates and their builds after an edit. Cargo compares times, and
# the sources of another checkout may be older than the last build, so touch makes
# cargo build them again. With a named target, the flags do not apply to proc macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/workshop/target,sharing=locked \
    touch solutions/${STEP}-*/src/*.rs \
    && target=$(rustc --print host-tuple) \
    && cargo build --locked --release --package solution-${STEP} --target ${target} \
    && cp target/${target}/release/solution-${STEP} /plugin

FROM ${DEBIAN} AS driver
RUN apt-get update \
    && apt-get install --yes --no-install-recommends e2fsprogs mount \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /plugin /plugin
ENTRYPOINT ["/plugin"]

# Without --target, Docker builds the last stage.
FROM scratch
COPY --from=build /plugin /plugin
ENTRYPOINT ["/plugin"]
