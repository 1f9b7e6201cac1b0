#!/bin/sh
# Builds the prover and the checker, which the prover starts, and calls the prover:
# run.sh prove power solution 8
set -u
# With the caller's CDPATH, cd could lead into another checkout.
unset CDPATH
WORKSHOP_PROGRAM=prover
export WORKSHOP_PROGRAM
exec sh "$(dirname "$0")/../checker/run.sh" "$@"
