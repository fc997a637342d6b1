#!/usr/bin/env bash
# Builds the images of both tiers, brings them to a cluster, and installs multinic there with Helm, or upgrades what is installed.
# usage, below, says what can be set. Each setting is looked at, and the cluster asked, before anything is built or changed.
#
# It exits with 2 if a setting is wrong or missing, and with 1 if something else is in the way.
set -euo pipefail

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
chart=$top/deploy/helm/multinic
# A cluster that does not answer within this is not there.
patience=15s

usage() {
  cat <<'END'
Builds multinic's images, brings them to a cluster, and installs or upgrades multinic with Helm.

  NAMESPACE=multinic-dev IMAGE_TAG=dev ./deploy/simple-deploy.sh [--dry-run | --images-only | --help]

  --dry-run      say every step and do none; what is on this machine and in the cluster is only looked at
  --images-only  build the images and bring them to where DELIVERY says, and no more

All settings are variables.

Where to:
  NAMESPACE         the namespace; made, for privileged pods, if it is not there; unset: multinic
  RELEASE           Helm's name of the installation; unset: multinic
  KUBECONFIG        how kubectl and Helm find the cluster; unset: as they find it themselves
  KUBE_CONTEXT      the context in it; unset: the current one
  TIMEOUT           for how long Helm waits until all pods are ready, such as 90s or 5m; 0s: not at all; unset: 5m

The images:
  BUILDER           docker, nerdctl, podman or buildah; unset: the first of them that is there and answers
  IMAGE_TAG         their tag; unset: what git calls this commit
  GO_IMAGE          the image whose Go compiles; unset: what the Dockerfiles say
  REGISTRY          what stands before their names, such as registry.example/team; unset: localhost, which is nobody's registry
  DELIVERY          how they get to the nodes; unset: registry if REGISTRY is set, else kind or minikube if the context is theirs,
                    else containerd if this machine is a node of the cluster
                      registry    they are pushed to REGISTRY, and each is pinned to its digest there
                      kind        kind loads them into all nodes
                      minikube    minikube loads them into all nodes
                      containerd  this machine's containerd imports them; run it with --images-only on each other node
  KIND_CLUSTER      kind's name of the cluster; unset: what the context says
  MINIKUBE_PROFILE  minikube's profile; unset: what the context says
  CTR               containerd's client, such as "k3s ctr"; unset: ctr. CONTAINERD_ADDRESS is where containerd listens, if
                    that is another place than usual

The database:
  DB_HOST, DB_PORT, DB_USER, DB_NAME  where the table multi_interface is, and the dispatcher's account; DB_PORT unset: 3306
  DB_PASSWORD_FILE  a file with the account's password, from which a Secret is made, RELEASE-db-password; or
  DB_SECRET         the name of a Secret that has it, under the key DB_SECRET_KEY; unset: password
  VALUES_FILE       a file with these and any other values of the chart (deploy/helm/multinic/values.yaml); variables win

Without VALUES_FILE, an installation that is there keeps all its settings but for those that are given. With it, that file and the
variables are all that is set, and everything else is as the chart has it.
END
}

# What is said goes to the standard output, also from where that leads elsewhere.
exec 3>&1
say() { printf 'deploy: %s\n' "$*" >&3; }
fail() {
  printf 'deploy: %s\n' "$*" >&2
  exit 1
}
# wrong TEXT: a setting is wrong.
wrong() {
  printf 'deploy: %s\n' "$*" >&2
  exit 2
}

# show WORD...: prints a command as it could be typed.
show() {
  local word line='   '
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,|-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  printf '%s\n' "$line" >&3
}

# step TEXT COMMAND...: says what is done now, and does it unless it should only be said.
step() {
  say "$1"
  shift
  show "$@"
  [ "$dry" = yes ] || "$@"
}

dry=no
images_only=no
case "$#:${1:-}" in
  0:) ;;
  1:--dry-run) dry=yes ;;
  1:--images-only) images_only=yes ;;
  1:--help | 1:-h)
    usage
    exit
    ;;
  *) wrong "\"$*\" is not among what it takes, which is one of --dry-run, --images-only and --help; settings are variables" ;;
esac

work=$(cd -- "$(mktemp -d "${TMPDIR:-/tmp}/deploy.XXXXXXXX")" && pwd)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# must NAME PATTERN TEXT: a variable that is set must match.
must() {
  local value=${!1:-}
  [[ -z $value || $value =~ ^($2)$ ]] || wrong "$1 is ${value@Q}: it must be $3"
}

# must_read NAME: a variable that is set must name a file.
must_read() { { [ -f "${!1}" ] && [ -r "${!1}" ]; } || wrong "$1 is ${!1}, which is no file that can be read"; }

# have PROGRAM WHAT-FOR
have() { command -v "$1" >/dev/null || fail "$1 is not in PATH, and $2: install it"; }

# check_settings looks at what can be judged without asking anybody, and sets what is unset.
check_settings() {
  local name
  must NAMESPACE '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?' 'a name of small letters, digits and -'
  must RELEASE '[a-z]([-a-z0-9]{0,38}[a-z0-9])?' 'a name of at most 40 small letters, digits and -, which begins with a letter'
  must IMAGE_TAG '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}' 'a tag: letters, digits, and _ . - after the first'
  must REGISTRY '[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)*/?' 'a registry and a path in it, without a scheme, such as registry.example/team'
  must BUILDER 'docker|nerdctl|podman|buildah' 'docker, nerdctl, podman or buildah'
  must DELIVERY 'registry|kind|minikube|containerd' 'registry, kind, minikube or containerd'
  must TIMEOUT '([0-9]+[smh])+' 'a time such as 90s, 5m, or 0s'
  must DB_PORT '[0-9]{1,5}' 'a port'
  must DB_SECRET '[a-z0-9]([-.a-z0-9]*[a-z0-9])?' "a Secret's name"
  must DB_SECRET_KEY '[-._a-zA-Z0-9]+' 'the name of a key in a Secret'
  for name in DB_HOST DB_USER DB_NAME; do
    must "$name" '[^[:cntrl:]]+' 'one line, without control characters'
  done
  [ "${DELIVERY:-}" != registry ] || [ -n "${REGISTRY:-}" ] || wrong 'DELIVERY is registry, and REGISTRY is not set: set it to where images are pushed, such as registry.example/team'
  [ "$images_only" = yes ] || check_database
  NAMESPACE=${NAMESPACE:-multinic}
  RELEASE=${RELEASE:-multinic}
  TIMEOUT=${TIMEOUT:-5m}
  DB_SECRET_KEY=${DB_SECRET_KEY:-password}
  context=${KUBE_CONTEXT:-$(kubectl config current-context 2>/dev/null || true)}
  case "$(uname -m)" in
    x86_64) ARCHES=amd64 ;;
    aarch64) ARCHES=arm64 ;;
    *) ARCHES=$(uname -m) ;;
  esac
}

check_database() {
  [ -z "${DB_PASSWORD:-}" ] || wrong 'DB_PASSWORD is set, which anybody who sees the environment can read: write the password into a file and set DB_PASSWORD_FILE, or DB_SECRET to a Secret that has it'
  [ -z "${DB_PASSWORD_FILE:-}" ] || [ -z "${DB_SECRET:-}" ] || wrong 'DB_PASSWORD_FILE and DB_SECRET are both set: set one of them'
  if [ -n "${DB_PASSWORD_FILE:-}" ]; then
    [[ $DB_PASSWORD_FILE != *[=,]* ]] || wrong "DB_PASSWORD_FILE is $DB_PASSWORD_FILE: kubectl reads no file with = or , in its path; give another path, or a link"
    must_read DB_PASSWORD_FILE
    [ -s "$DB_PASSWORD_FILE" ] || wrong "DB_PASSWORD_FILE is $DB_PASSWORD_FILE, which is empty"
  fi
  [[ ${VALUES_FILE:-} != *,* ]] || wrong "VALUES_FILE is $VALUES_FILE: helm takes a comma for the end of a path; give another path, or a link"
  [ -z "${VALUES_FILE:-}" ] || must_read VALUES_FILE
}

# keeps says whether an installation that is there keeps its settings, but for what variables say.
keeps() { [ -n "$state" ] && [ -z "${VALUES_FILE:-}" ]; }

# want_database says what of the database is missing, where nothing else could say it.
want_database() {
  local name missing=
  [ -z "${VALUES_FILE:-}" ] || return 0
  ! keeps || return 0
  for name in DB_HOST DB_USER DB_NAME; do
    [ -n "${!name:-}" ] || missing+=" $name"
  done
  [ -n "${DB_PASSWORD_FILE:-}${DB_SECRET:-}" ] || missing+=' DB_PASSWORD_FILE (or DB_SECRET)'
  [ -z "$missing" ] || wrong "the database's settings are missing:$missing. Set them, or VALUES_FILE to a file of the chart's values that has them"
}

# ask_cluster finds out that the cluster answers, and which machines its nodes are.
ask_cluster() {
  have kubectl 'the cluster is asked with it'
  have helm 'multinic is installed with it'
  kube=(kubectl)
  helm=(helm)
  if [ -n "${KUBE_CONTEXT:-}" ]; then
    kube+=(--context "$KUBE_CONTEXT")
    helm+=(--kube-context "$KUBE_CONTEXT")
  fi
  plain=("${kube[@]}")
  kube+=(--request-timeout "$patience")
  "${kube[@]}" get --raw /version >/dev/null 2>"$work/complaint" ||
    fail "the cluster of the context \"$context\" does not answer: $(complaint). Set KUBECONFIG or KUBE_CONTEXT to the one that is meant, or start it"
  nodes=$("${kube[@]}" get nodes --output 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.nodeInfo.architecture}{"\n"}{end}' 2>"$work/complaint") ||
    fail "the cluster does not say which nodes it has: $(complaint). Installing needs an administrator of the cluster"
  local found
  found=$(awk '{ print $2 }' <<<"$nodes" | sort -u)
  [ "$(wc -w <<<"$found")" -le 1 ] ||
    fail "the cluster's nodes are $(paste -s -d ' ' <<<"$found"): images of one name for both need a manifest list. Build them with make images ARCHES=\"…\", push them and their lists, and install with helm (docs/install.md)"
  ARCHES=${found:-$ARCHES}
}

# complaint is what the last command has said that failed, on one line.
complaint() { tr -s '\n' ' ' <"$work/complaint" | cut -c 1-400 | sed 's/ *$//; s/\.$//'; }

# ask_release finds out in which state an installation of this name is: state is empty if there is none.
ask_release() {
  state=
  if "${helm[@]}" status "$RELEASE" --namespace "$NAMESPACE" >"$work/status" 2>"$work/complaint"; then
    state=$(sed -n 's/^STATUS: *//p' "$work/status")
  elif ! grep -q 'not found' "$work/complaint"; then
    fail "Helm does not say whether $RELEASE is installed in $NAMESPACE: $(complaint)"
  fi
  local which="Helm's release $RELEASE in the namespace $NAMESPACE"
  case "$state" in
    '') say "$which is not there: it will be installed" ;;
    deployed) say "$which is there: it will be upgraded" ;;
    failed) say "$which is there, and an earlier try at it has failed: what is missing of it will be made good" ;;
    pending-install | uninstalling)
      fail "$which is $state: another helm is at work on it, or was ended in the middle. If none is, take away what is half there, and run this again; nodes' interfaces stay as they are: ${helm[*]} uninstall $RELEASE --namespace $NAMESPACE" ;;
    pending-*)
      fail "$which is $state: another helm is at work on it, or was ended in the middle. If none is, go back to what was there before, and run this again: ${helm[*]} rollback $RELEASE --namespace $NAMESPACE" ;;
    *) fail "$which is $state, and cannot be upgraded: look at ${helm[*]} history $RELEASE --namespace $NAMESPACE" ;;
  esac
}

# choose_delivery finds out how images get to the nodes.
choose_delivery() {
  if [ -z "${DELIVERY:-}" ]; then
    case "${REGISTRY:+registry}:${context:-}" in
      registry:*) DELIVERY=registry ;;
      :kind-*) DELIVERY=kind ;;
      :minikube) DELIVERY=minikube ;;
      *)
        awk -v here="$(uname -n)" '$1 == here { found = 1 } END { exit !found }' <<<"${nodes:-}" ||
          wrong 'how should the images get to the nodes? Set REGISTRY to a registry from which they pull, or DELIVERY to kind, minikube or containerd'
        DELIVERY=containerd
        ;;
    esac
  fi
  REGISTRY=${REGISTRY:-localhost}
  REGISTRY=${REGISTRY%/}
  case "$DELIVERY" in
    kind)
      have kind 'it brings images to its clusters'
      [[ -n ${KIND_CLUSTER:-} || $context != kind-* ]] || KIND_CLUSTER=${context#kind-}
      [ -n "${KIND_CLUSTER:-}" ] || wrong 'DELIVERY is kind, and neither KIND_CLUSTER nor the context says to which of its clusters'
      ;;
    minikube)
      have minikube 'it brings images to its clusters'
      MINIKUBE_PROFILE=${MINIKUBE_PROFILE:-${context:-minikube}}
      ;;
    containerd)
      # nerdctl builds them there.
      [ "$BUILDER" != nerdctl ] || return 0
      read -r -a ctr <<<"${CTR:-ctr}"
      have "${ctr[0]}" 'it brings images to containerd'
      "${ctr[@]}" version >/dev/null 2>"$work/complaint" ||
        fail "containerd does not answer ${ctr[*]}: $(complaint). Run this as root, on the node, and set CONTAINERD_ADDRESS if it listens at an unusual place"
      ;;
  esac
}

# ask_namespace finds out whether the namespace is there, takes privileged pods, and has the Secret that is named.
ask_namespace() {
  local keys
  namespace=$("${kube[@]}" get namespace "$NAMESPACE" --ignore-not-found --output name 2>"$work/complaint") ||
    fail "the cluster does not say whether the namespace $NAMESPACE is there: $(complaint)"
  if [ -n "$namespace" ]; then
    # Whatever else it says against a pod, Helm will hear as well.
    "${kube[@]}" create --dry-run=server --filename - >/dev/null 2>"$work/complaint" <<<"$(probe)" || ! grep -q 'violates PodSecurity' "$work/complaint" ||
      fail "the namespace $NAMESPACE takes no privileged pods, and executors are in their nodes' network: $(complaint). Set NAMESPACE to one of multinic's own, or allow it: ${plain[*]} label --overwrite namespace $NAMESPACE pod-security.kubernetes.io/enforce=privileged"
  fi
  if [ -n "${DB_SECRET:-}" ]; then
    # shellcheck disable=SC2016 # a template's variables
    keys=$("${kube[@]}" get secret "$DB_SECRET" --namespace "$NAMESPACE" --output 'go-template={{range $key, $value := .data}}{{println $key}}{{end}}' 2>"$work/complaint") ||
      wrong "DB_SECRET is $DB_SECRET, which cannot be read in the namespace $NAMESPACE: $(complaint). Make it: ${plain[*]} --namespace $NAMESPACE create secret generic $DB_SECRET --from-file=$DB_SECRET_KEY=FILE"
    grep -qxF -- "$DB_SECRET_KEY" <<<"$keys" || wrong "the Secret $DB_SECRET has no key $DB_SECRET_KEY: set DB_SECRET_KEY to one of its own: $(paste -s -d ' ' <<<"$keys")"
  fi
}

# probe is a pod that asks for what executors ask for. It is never made.
probe() {
  cat <<END
apiVersion: v1
kind: Pod
metadata: {generateName: multinic-probe-, namespace: $NAMESPACE}
spec:
  hostNetwork: true
  automountServiceAccountToken: false
  containers:
  - name: probe
    image: $REGISTRY/multinic-executor:$IMAGE_TAG
    securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW, SYS_CHROOT]}}
    volumeMounts: [{name: host, mountPath: /host, readOnly: true}]
  volumes: [{name: host, hostPath: {path: /}}]
END
}

# quoted TEXT: as YAML.
quoted() { printf "'%s'" "${1//\'/\'\'}"; }

# What tells each tier's image from another of the same tag.
declare -A identity

# write_settings writes what the variables say, as values of the chart.
write_settings() {
  local policy=IfNotPresent tier digest=
  [ "$DELIVERY" = registry ] || policy=Never # A node that has not got them says so, and does not look for them elsewhere.
  {
    printf 'image: {registry: %s, tag: %s, pullPolicy: %s}\n' "$(quoted "$REGISTRY")" "$(quoted "$IMAGE_TAG")" "$policy"
    for tier in dispatcher executor; do
      [ "$DELIVERY" != registry ] || digest=${identity[$tier]:-}
      printf '%s: {imageDigest: %s, podAnnotations: {multinic.dev/image: %s}}\n' "$tier" "$(quoted "${digest:-}")" "$(quoted "${identity[$tier]:-}")"
    done
    database_settings
  } >"$work/settings.yaml"
}

# database_settings are those of the database. One that was set as the password itself makes way for the Secret that has it now.
database_settings() {
  local settings=()
  [ -z "${DB_HOST:-}" ] || settings+=("host: $(quoted "$DB_HOST")")
  [ -z "${DB_PORT:-}" ] || settings+=("port: $((10#$DB_PORT))")
  [ -z "${DB_USER:-}" ] || settings+=("user: $(quoted "$DB_USER")")
  [ -z "${DB_NAME:-}" ] || settings+=("name: $(quoted "$DB_NAME")")
  [ -z "${DB_PASSWORD_FILE:-}" ] || settings+=("password: ''" "existingSecret: $(quoted "$RELEASE-db-password")" 'existingSecretKey: password')
  [ -z "${DB_SECRET:-}" ] || settings+=("password: ''" "existingSecret: $(quoted "$DB_SECRET")" "existingSecretKey: $(quoted "$DB_SECRET_KEY")")
  [ "${#settings[@]}" -eq 0 ] || {
    printf 'database:\n'
    printf '  %s\n' "${settings[@]}"
  }
}

# set_release sets the words of the helm command that installs or upgrades.
set_release() {
  release=("${helm[@]}" upgrade "$RELEASE" "$chart" --install --namespace "$NAMESPACE")
  if keeps; then
    say 'VALUES_FILE is not set: it keeps all that it was installed with, but for what follows'
    release+=(--reset-then-reuse-values)
  fi
  [ -z "${VALUES_FILE:-}" ] || release+=(--values "$VALUES_FILE")
  release+=(--values "$work/settings.yaml")
}

# ask_helm has Helm do everything but the deed, so that what it refuses is refused before anything is built.
ask_helm() {
  "${release[@]}" --dry-run=server >/dev/null 2>"$work/complaint" && return
  if grep -qE "specifications of the schema|execution error at|failed to parse|error converting YAML" "$work/complaint"; then
    wrong "the chart refuses these settings: $(complaint)"
  fi
  fail "Helm could not do it: $(complaint)"
}

# images TEXT WORD...: says what is done, and runs tools/images, with all that it has to know.
images() {
  local words=("BUILDER=$BUILDER" "REGISTRY=$REGISTRY" "IMAGE_TAG=$IMAGE_TAG" "ARCHES=$ARCHES" "ARCHIVE_DIR=$work/images" SBOM_TOOL=)
  # What nerdctl builds is then where this machine's kubelet looks for it.
  [ "$BUILDER:$DELIVERY" != nerdctl:containerd ] || words+=(CONTAINERD_NAMESPACE=k8s.io)
  set -- "$1" env "${words[@]}" "$top/tools/images" "${@:2}"
  step "$@"
}

# push_images pushes both images, and sets by what digest each is known there.
push_images() {
  local name digest
  images "push them to $REGISTRY" push >"$work/pushed"
  while read -r name _ digest; do
    identity[${name#multinic-}]=$digest
    say "$name is $digest there"
  done < <(grep -E '^multinic-(dispatcher|executor) ' "$work/pushed")
}

# load_image TIER: brings an image to the nodes, and sets by what it differs from others of its name: the hash of its configuration.
load_image() {
  local archive=$work/images/multinic-$1-$ARCHES.tar hash
  case "$DELIVERY" in
    kind) step "bring the $1's image to kind's cluster $KIND_CLUSTER" kind load image-archive "$archive" --name "$KIND_CLUSTER" ;;
    minikube) step "bring the $1's image to minikube's cluster $MINIKUBE_PROFILE" minikube --profile "$MINIKUBE_PROFILE" image load "$archive" ;;
    containerd)
      if [ "$BUILDER" = nerdctl ]; then
        say "the $1's image was built where this machine's kubelet looks for it"
      else
        step "bring the $1's image to this machine's containerd" "${ctr[@]}" --namespace k8s.io images import "$archive"
      fi
      ;;
  esac
  [ "$dry" = no ] || return 0
  hash=$(tar -xOf "$archive" manifest.json | grep -oE '"Config": *"[^"]*"' | grep -oE '[0-9a-f]{64}')
  identity[$1]=sha256:$hash
}

deliver() {
  local others
  identity=([dispatcher]='known when it is there' [executor]='known when it is there')
  if [ "$DELIVERY" = registry ]; then
    push_images
    return
  fi
  load_image dispatcher
  load_image executor
  [ "$DELIVERY" = containerd ] || return 0
  others=$(awk -v here="$(uname -n)" 'NF && $1 != here { print $1 }' <<<"${nodes:-}" | paste -s -d ' ')
  [ -z "$others" ] || say "only this machine's containerd has them now. Each other node needs them, too ($others): run this there with --images-only, or set REGISTRY"
}

# make_namespace makes the namespace, for privileged pods, as executors are in their nodes' network.
make_namespace() {
  [ -z "$namespace" ] || return 0
  step "make the namespace $NAMESPACE" "${kube[@]}" create namespace "$NAMESPACE"
  step 'allow privileged pods there, as executors are in the network of their nodes' \
    "${kube[@]}" label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=privileged
}

# keep_password makes a Secret of the password's file. No command line has the password, and the Secret no copy of it in an annotation.
keep_password() {
  [ -n "${DB_PASSWORD_FILE:-}" ] || return 0
  local make=("${kube[@]}" create secret generic "$RELEASE-db-password" --namespace "$NAMESPACE" "--from-file=password=$DB_PASSWORD_FILE" --dry-run=client --output yaml)
  local apply=("${kube[@]}" apply --server-side --force-conflicts --field-manager multinic-deploy --filename -)
  say "keep the database's password in the Secret $RELEASE-db-password"
  show "${make[@]}" '|' "${apply[@]}"
  [ "$dry" = yes ] || "${make[@]}" | "${apply[@]}"
}

# install has Helm do it, and waits until all pods are ready.
install() {
  write_settings
  say 'these are the settings:'
  sed 's/^/    /' "$work/settings.yaml" >&3
  if [[ $TIMEOUT =~ ^0+[smh]$ ]]; then
    step "install or upgrade $RELEASE in the namespace $NAMESPACE" "${release[@]}" || lost
    return
  fi
  step "install or upgrade $RELEASE in the namespace $NAMESPACE" "${release[@]}" --wait --timeout "$TIMEOUT" || lost
  # Helm takes as many executors to be ready as may be replaced at once, which in a small cluster is all of them.
  step 'wait for the executor of each node' "${plain[@]}" rollout status daemonset --namespace "$NAMESPACE" \
    --selector "app.kubernetes.io/instance=$RELEASE" --timeout "$TIMEOUT" || lost
}

# lost says where to look for why it was not brought about.
lost() {
  local words
  printf 'deploy: not everything has come about. These say why, and when it is mended, run this again:\n' >&2
  for words in 'get pods' 'get events --sort-by .lastTimestamp' "logs --prefix --selector app.kubernetes.io/instance=$RELEASE"; do
    printf '    %s --namespace %s %s\n' "${plain[*]}" "$NAMESPACE" "$words"
  done >&2
  exit 1
}

check_settings
BUILDER=$("$top/tools/images" builder)
# Not every name that git takes is one of an image's tag.
IMAGE_TAG=${IMAGE_TAG:-$({ git -C "$top" describe --tags --always --dirty 2>/dev/null || true; } | sed 's/[^A-Za-z0-9_.-]/-/g')}
IMAGE_TAG=${IMAGE_TAG:-dev}
if [ "$images_only" = no ]; then
  ask_cluster
  ask_release
  want_database
fi
choose_delivery
if [ "$images_only" = no ]; then
  ask_namespace
  set_release
  write_settings
  ask_helm
fi
images "build both images with $BUILDER"
deliver
if [ "$images_only" = no ]; then
  make_namespace
  keep_password
  install
fi
if [ "$dry" = yes ]; then say 'nothing of this was done'; else say 'done'; fi
