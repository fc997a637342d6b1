#!/bin/sh
# Does what simple-deploy.sh does, on a host that has containerd and no docker: nerdctl builds the images, with the buildkitd that
# setup-buildkit.sh sets up, and without REGISTRY it builds them into the containerd from which this machine's kubelet has its own.
# All settings and arguments are simple-deploy.sh's (--help), but that BUILDER is nerdctl, and DELIVERY, unless set, containerd.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
case "${BUILDER:-nerdctl}" in
  nerdctl) ;;
  *)
    printf 'deploy: BUILDER is %s, and this script builds with nerdctl: unset it, or run simple-deploy.sh\n' "$BUILDER" >&2
    exit 2
    ;;
esac
case "${1:-}" in
  --help | -h) ;;
  *) "$here/setup-buildkit.sh" --check ;;
esac
[ -n "${REGISTRY:-}" ] || DELIVERY=${DELIVERY:-containerd}
BUILDER=nerdctl
export BUILDER ${DELIVERY:+DELIVERY}
exec "$here/simple-deploy.sh" "$@"
