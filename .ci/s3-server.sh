#!/usr/bin/env bash
# Starts an S3 server that honours conditional creation on 127.0.0.1, for the tests that need one, and prints the environment
# for them. Use:
#
#   if env=$(.ci/s3-server.sh); then eval "$env"; npm test; kill "$PAGEFOLD_S3_PID"; fi
#
# versitygw (built with Go) where there is Go, else moto (from PyPI) where there is Python. Both are installed below
# ${XDG_CACHE_HOME:-~/.cache}/pagefold-ci, outside the project, and kept there for the next run. Where neither can be had, says
# so on stderr and exits with 1.
set -uo pipefail

versitygw_version=v1.8.0
moto_version=5.2.5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pagefold-ci
bucket=pagefold
access=pagefold-test
secret=pagefold-test-secret

say() { echo "s3-server: $*" >&2; }

# Waits until the server answers (anything at all, a refusal too) or its process ends.
wait_for() {
  local port=$1 pid=$2
  for _ in $(seq 150); do
    kill -0 "$pid" 2>/dev/null || return 1
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
    sleep 0.2
  done
  return 1
}

# A port that nobody listens on now; a server that loses it to somebody else ends, and the next port is tried.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# Runs the server; when it is told to end, ends it and removes its data.
keeper='
work=$1; shift
"$@" & child=$!
trap "told=1; kill $child" TERM INT
wait $child; wait $child 2>/dev/null
[ -z "${told:-}" ] || rm -rf "$work"
'

# $1 name; then the command, which is given the port as {port}. Sets pid and port.
start() {
  local name=$1; shift
  for _ in 1 2 3; do
    port=$(free_port)
    setsid bash -c "$keeper" keeper "$work" "${@//\{port\}/$port}" >"$work/log" 2>&1 </dev/null &
    pid=$!
    wait_for "$port" "$pid" && return 0
    kill "$pid" 2>/dev/null
  done
  say "$name does not start:"; tail -n 20 "$work/log" >&2
  return 1
}

use_versitygw() {
  local bin=$cache/versitygw-$versitygw_version
  if [ ! -x "$bin/versitygw" ]; then
    command -v go >/dev/null || { say "no Go here for versitygw"; return 1; }
    say "installing versitygw $versitygw_version"
    mkdir -p "$bin"
    (cd "$work" && GOBIN=$bin timeout 600 go install "github.com/versity/versitygw/cmd/versitygw@$versitygw_version") >"$work/install.log" 2>&1 ||
      { say "versitygw cannot be installed:"; tail -n 5 "$work/install.log" >&2; return 1; }
  fi
  # A directory below the served one is a bucket.
  mkdir -p "$work/data/$bucket"
  ROOT_ACCESS_KEY=$access ROOT_SECRET_KEY=$secret \
    start versitygw "$bin/versitygw" --quiet --port "127.0.0.1:{port}" posix "$work/data" || return 1
  keys=file-names
}

use_moto() {
  local venv=$cache/moto-$moto_version
  if [ ! -x "$venv/bin/moto_server" ]; then
    command -v python3 >/dev/null || { say "no Python here for moto"; return 1; }
    say "installing moto $moto_version"
    mkdir -p "$cache"
    (python3 -m venv "$venv" && timeout 600 "$venv/bin/pip" install -q "moto[server]==$moto_version") >"$work/install.log" 2>&1 ||
      { say "moto cannot be installed:"; tail -n 5 "$work/install.log" >&2; rm -rf "$venv"; return 1; }
  fi
  start moto "$venv/bin/moto_server" -H 127.0.0.1 -p "{port}" || return 1
  # moto checks no signatures; it takes the bucket from a bare request.
  python3 -c "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:$port/$bucket', method='PUT'))" ||
    { say "moto takes no bucket"; kill "$pid"; return 1; }
  keys=any
}

work=$(mktemp -d "${TMPDIR:-/tmp}/pagefold-s3.XXXXXX") || exit 1
case ${1:-any} in
  versitygw) use_versitygw ;;
  moto) use_moto ;;
  any) use_versitygw || use_moto ;;
  *) say "unknown server $1: versitygw, moto or nothing"; rm -rf "$work"; exit 2 ;;
esac || { say "no S3 server with conditional creation can be had here"; rm -rf "$work"; exit 1; }

cat <<EXPORTS
export PAGEFOLD_TEST_S3_ENDPOINT=http://127.0.0.1:$port PAGEFOLD_TEST_S3_BUCKET=$bucket PAGEFOLD_TEST_S3_KEYS=$keys
export AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret AWS_REGION=us-east-1
export PAGEFOLD_S3_PID=$pid
EXPORTS
