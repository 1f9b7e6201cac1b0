# The slides, for machines that have only Docker. The build needs BuildKit.
#
#   docker build -f docker/slides.Dockerfile -t workshop-slides .
#   docker run --rm -p 127.0.0.1:8000:8000 workshop-slides
#
# Each argument may name an image of a mirror.
ARG RUST_IMAGE=rust:1.95-slim-trixie
ARG NODE_IMAGE=node:22-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

FROM ${NODE_IMAGE} AS npm
WORKDIR /slides
COPY slides/package.json slides/package-lock.json ./
# Leave out the packages that only the tests need.
RUN --mount=type=cache,target=/root/.npm \
    npm ci --omit=dev --no-audit --no-fund

FROM ${RUST_IMAGE} AS build
WORKDIR /workshop
COPY . .
# Copy the program in the same step, because the cache is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/workshop/target \
    cargo build --locked --release --package slides \
    && cp target/release/slides /usr/local/bin/slides

FROM ${BASE_IMAGE}
WORKDIR /workshop
COPY --from=build /usr/local/bin/slides /usr/local/bin/slides
COPY exercises exercises
COPY solutions solutions
COPY slides slides
COPY --from=npm /slides/node_modules slides/node_modules
USER nobody
EXPOSE 8000
# Listen on all addresses of the container. The port of `docker run` decides who can
# connect.
ENTRYPOINT ["slides", "serve", "--everyone"]
