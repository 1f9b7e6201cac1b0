# The slides where there is only Docker. Needs BuildKit.
#
#   docker build -f docker/slides.Dockerfile -t workshop-slides .
#   docker run --rm -p 127.0.0.1:8000:8000 workshop-slides
#
# A mirror's images can stand in for each of the three.
ARG RUST_IMAGE=rust:1.95-slim-trixie
ARG NODE_IMAGE=node:22-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

FROM ${NODE_IMAGE} AS npm
WORKDIR /slides
COPY slides/package.json slides/package-lock.json ./
# What only the tests need stays away.
RUN --mount=type=cache,target=/root/.npm \
    npm ci --omit=dev --no-audit --no-fund

FROM ${RUST_IMAGE} AS build
WORKDIR /workshop
COPY . .
# The program leaves the cache in the same step, or it would stay there.
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
# Everyone, as seen from inside: who that is, the port of `docker run` says.
ENTRYPOINT ["slides", "serve", "--everyone"]
