#!/bin/sh
# Makes a replacement for the node image on machines that reach no image registry:
# this machine's node, npm and settings for npm's registry, on top of the image that
# base-image.sh makes.
#
# usage: docker/prover/node-image.sh TAG BASE
set -eu

tag=${1:?usage: $0 TAG BASE}
base=${2:?usage: $0 TAG BASE}
docker=${DOCKER:-docker}

say() { echo "$0: $*" >&2; }

node=$(command -v node) || { say 'install node first'; exit 1; }
npm=$(command -v npm) || { say 'install npm first'; exit 1; }
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$stage/usr/bin" "$stage/usr/local/lib/node" "$stage/etc"
cp -L "$node" "$stage/usr/bin/node"
# Debian's node needs many libraries. libc is that of the image.
ldd "$node" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' |
    grep -v -E '/(libc|libm|libdl|libpthread|librt)\.so' |
    while read -r library; do cp -L "$library" "$stage/usr/local/lib/node/"; done
for folder in /usr/lib/node_modules /usr/share/nodejs /usr/share/node_modules; do
    [ ! -d "$folder" ] || { mkdir -p "$stage$folder" && cp -a "$folder/." "$stage$folder"; }
done
ln -s "$(readlink -f "$npm")" "$stage/usr/bin/npm"
for file in /etc/npmrc /usr/etc/npmrc; do
    [ ! -f "$file" ] || { mkdir -p "$stage$(dirname "$file")" && cp -L "$file" "$stage$file"; }
done
cat >"$stage/Dockerfile" <<'END'
ARG BASE
FROM ${BASE}
ARG REGISTRY
ENV npm_config_registry=${REGISTRY}
COPY usr /usr
COPY etc /etc
ENV LD_LIBRARY_PATH=/usr/local/lib/node NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN npm --version
END
DOCKER_BUILDKIT=1 "$docker" build --quiet --build-arg BASE="$base" \
    --build-arg REGISTRY="$(npm config get registry)" \
    --tag "$tag" "$stage" >/dev/null
say "$tag is ready: node $(node --version), npm $(npm --version)"
