#!/bin/sh
# Builds the prover, and the checker that it starts, and calls it:
# run.sh prove power solution 8
set -u
# A CDPATH of the caller's would lead into another checkout.
unset CDPATH
WORKSHOP_PROGRAM=prover
export WORKSHOP_PROGRAM
exec sh "$(dirname "$0")/../checker/run.sh" "$@"
