#!/bin/sh
# Sets buildkitd up for nerdctl on a host with containerd, as a service of systemd's, from what is on this machine: it downloads
# nothing. usage, below, says what can be set.
#
# It exits with 2 if a setting is wrong, and with 1 if something is missing or in the way. What is there already stays as it is.
set -eu

usage() {
  cat <<'END'
Sets buildkitd up, with which nerdctl builds images, on a host with containerd.

  ./deploy/setup-buildkit.sh [--dry-run | --check | --run | --help]

  --dry-run  say every step and do none
  --check    only say whether nerdctl can build, and what is missing
  --run      be buildkitd, in the foreground, for hosts without systemd

It writes /etc/systemd/system/buildkit.service, and starts that service. A buildkitd that answers already is left alone. All
settings are variables:

  NERDCTL_ARCHIVE     a file nerdctl-full-VERSION-linux-ARCH.tar.gz of nerdctl's releases, from which missing programs are taken
                      into /usr/local/bin; unset: they must be in PATH
  CONTAINERD_ADDRESS  where containerd listens; unset: /run/containerd/containerd.sock
  NAMESPACE_OF_IMAGES containerd's namespace in which images are kept; unset: k8s.io, in which the kubelet looks for them
  BUILDKIT_HOST       where buildkitd listens; unset: unix:///run/buildkit/buildkitd.sock, at which nerdctl looks by itself
  ROOT                what stands before the paths of what is written and installed; unset: nothing
END
}

say() { printf 'buildkit: %s\n' "$*"; }
fail() {
  printf 'buildkit: %s\n' "$*" >&2
  exit 1
}
wrong() {
  printf 'buildkit: %s\n' "$*" >&2
  exit 2
}

# step TEXT COMMAND...: says what is done now, and does it unless it should only be said.
step() {
  say "$1"
  shift
  printf '    %s\n' "$*"
  [ "$todo" = --dry-run ] || "$@"
}

todo=${1:---set-up}
case "$#:$todo" in
  0:* | 1:--dry-run | 1:--check | 1:--run) ;;
  1:--help | 1:-h)
    usage
    exit
    ;;
  *) wrong "\"$*\" is not among what it takes, which is one of --dry-run, --check, --run and --help" ;;
esac

containerd=${CONTAINERD_ADDRESS:-/run/containerd/containerd.sock}
namespace=${NAMESPACE_OF_IMAGES:-k8s.io}
address=${BUILDKIT_HOST:-unix:///run/buildkit/buildkitd.sock}
root=${ROOT:-}
unit=/etc/systemd/system/buildkit.service
case "$containerd" in /*) ;; *) wrong "CONTAINERD_ADDRESS is \"$containerd\": it must be the path of a socket" ;; esac
case "$namespace" in *[!A-Za-z0-9._-]* | '') wrong "NAMESPACE_OF_IMAGES is \"$namespace\": it must be a name of letters, digits, and . _ -" ;; esac
case "$address" in unix:///*) ;; *) wrong "BUILDKIT_HOST is \"$address\": it must be unix:// and a path, since what is set up here is for this machine alone" ;; esac
case "$address$containerd" in *[!A-Za-z0-9:/._-]*) wrong "BUILDKIT_HOST and CONTAINERD_ADDRESS may have letters, digits, and : / . _ - alone" ;; esac
[ -z "${NERDCTL_ARCHIVE:-}" ] || [ -f "$NERDCTL_ARCHIVE" ] || wrong "NERDCTL_ARCHIVE is $NERDCTL_ARCHIVE, which is no file"

# missing are the programs that are not here.
missing() {
  for program in nerdctl buildctl buildkitd; do
    command -v "$program" >/dev/null || printf '%s ' "$program"
  done
}

# answers says whether nerdctl can build.
answers() { [ -z "$(missing)" ] && buildctl --addr "$address" debug workers >/dev/null 2>&1; }

# check says what is in the way of building with nerdctl.
check() {
  lacking=$(missing)
  [ -z "$lacking" ] || fail "these programs are not in PATH: ${lacking% }. All of them are in the archive nerdctl-full of nerdctl's releases (github.com/containerd/nerdctl): get it, and run this with NERDCTL_ARCHIVE set to it, or put them into /usr/local/bin"
  [ -S "$containerd" ] || fail "containerd does not listen at $containerd: install and start it, or set CONTAINERD_ADDRESS"
}

# install_programs takes what is missing out of the archive.
install_programs() {
  lacking=$(missing)
  [ -n "$lacking" ] && [ -n "${NERDCTL_ARCHIVE:-}" ] || return 0
  [ "$todo" = --dry-run ] || mkdir -p "$root/usr/local/bin"
  for program in $lacking; do
    step "take $program out of the archive" tar -xzf "$NERDCTL_ARCHIVE" -C "$root/usr/local" "bin/$program"
  done
}

# flags are buildkitd's. It keeps layers and images in containerd, so it finds base images there, and nerdctl what was built.
flags="--addr=$address --oci-worker=false --containerd-worker=true --containerd-worker-addr=$containerd --containerd-worker-namespace=$namespace"

service() {
  cat <<END
# Written by multinic's deploy/setup-buildkit.sh.
[Unit]
Description=BuildKit, with which nerdctl builds images
Requires=containerd.service
After=containerd.service

[Service]
Type=notify
ExecStart=$(command -v buildkitd || echo /usr/local/bin/buildkitd) $flags
Restart=on-failure

[Install]
WantedBy=multi-user.target
END
}

# write_service writes the service's file.
write_service() {
  say "write $root$unit:"
  service | sed 's/^/    /'
  [ "$todo" != --dry-run ] || return 0
  mkdir -p "$root${unit%/*}"
  service >"$root$unit.new"
  mv "$root$unit.new" "$root$unit"
}

case "$todo" in
  --check)
    check
    answers || fail "buildkitd does not answer at $address: set it up with deploy/setup-buildkit.sh, as root"
    say "buildkitd answers at $address: nerdctl can build"
    exit
    ;;
  --run)
    check
    # shellcheck disable=SC2086 # a list of words
    exec buildkitd $flags
    ;;
esac

# outdated says whether there is a service of this script's that was set up otherwise.
outdated() { grep -qs 'multinic' "$root$unit" && [ "$(service)" != "$(cat "$root$unit")" ]; }

if answers && ! outdated; then
  say "buildkitd answers at $address: there is nothing to do"
  exit
fi
[ "$todo" = --dry-run ] || [ "$(id -u)" -eq 0 ] || fail 'only root can set a service up: run this as root'
install_programs
case "$todo:${NERDCTL_ARCHIVE:+archive}" in --dry-run:archive) ;; *) check ;; esac
# Somebody else's service may have reasons that this script cannot know.
[ ! -e "$root$unit" ] || grep -q 'multinic' "$root$unit" ||
  fail "there is a service of another's, $root$unit, and its buildkitd does not answer at $address: start it (systemctl start buildkit), set BUILDKIT_HOST to where it listens, or take it away"
if [ ! -d /run/systemd/system ] && [ -z "$root" ]; then
  fail 'systemd does not run here: have what starts services here run deploy/setup-buildkit.sh --run'
fi
write_service
step 'have systemd read it' systemctl daemon-reload
step 'start it with each boot' systemctl enable buildkit.service
# It returns when buildkitd has said that it is ready. One that runs has other flags.
step 'start it, or start it again' systemctl restart buildkit.service
if [ "$todo" = --dry-run ]; then
  say 'nothing of this was done'
else
  answers || fail "buildkitd was started, and does not answer at $address: look at journalctl --unit buildkit"
  say "buildkitd answers at $address: nerdctl can build"
fi
