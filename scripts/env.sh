# Sourced by the other scripts: goes to the project folder and keeps its .venv in step with the
# lock files. Progress goes to stderr; with nothing to do it says nothing.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd -- "$root"

say() { printf '%s\n' "$*" >&2; }
fail() { say "${0##*/}: $*"; exit 1; }

# gunicorn reads WEB_CONCURRENCY before any of our settings, and says nothing sensible of a bad one.
check_concurrency() {
    case ${WEB_CONCURRENCY-1} in
        '') unset WEB_CONCURRENCY ;;
        *[!0-9]*) fail "WEB_CONCURRENCY='$WEB_CONCURRENCY': set a whole number of web processes, from 1 to 256" ;;
    esac
}

# use_environment LOCK_FILE...: .venv holds what they list, and its programs come first in PATH.
use_environment() {
    if ! is_current "$@"; then
        (
            python=$(find_python)
            lock
            is_current "$@" || { make_venv; install "$@"; }
        ) 9>.venv.lock
    fi
    PATH=$root/.venv/bin:$PATH
    export PATH
}

# Beside each lock file's checksum, .venv remembers its folder: moved or copied, it is of no use.
is_current() {
    [ -x .venv/bin/python ] && [ "$(cat .venv/root 2>/dev/null)" = "$root" ] || return 1
    for file in "$@"; do
        [ "$(cat ".venv/$file.cksum" 2>/dev/null)" = "$(cksum <"$file")" ] || return 1
    done
}

# A name in PATH may be a shim without a Python behind it: only running it tells.
find_python() {
    for name in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer found: install one, or name it: PYTHON=/path/to/python3 $0"
}

# One script installs, the others wait. The system frees the lock when its holder ends, however it
# ends, so it cannot be left behind.
lock() {
    "$python" -c '
import fcntl, signal, sys
try:
    fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another script that sets up .venv", file=sys.stderr)
    signal.alarm(900)
    fcntl.flock(0, fcntl.LOCK_EX)
' <&9 || fail ".venv.lock is still held after 15 minutes: end the script that sets up .venv"
}

make_venv() {
    if is_current && .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    [ ! -L .venv ] || fail ".venv is a link to another folder, which would be emptied: remove the link"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make a .venv: apt-get install python3-venv (on Debian and Ubuntu)"
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
    printf '%s\n' "$root" >.venv/root
}

install() {
    for file in "$@"; do
        if is_current "$file"; then continue; fi
        say "Installing $file into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r "$file" ||
            fail "cannot install $file; behind a proxy, set HTTPS_PROXY, PIP_INDEX_URL or PIP_CERT"
        cksum <"$file" >".venv/$file.cksum"
    done
}
