# Sourced by the scripts beside it: `environment DIR [EXTRAS [CONSTRAINTS]]` makes or renews a private
# environment. DIR/installed says what it was made from (this checkout, pyproject.toml, the constraints);
# when that has changed, or the Python behind the environment is gone, it is made again.
# An environment that is current costs one file comparison.

environment() {
    local folder=$1 extras=${2:-} constraints=${3:-}
    current "$@" && return
    # Two runs at once, as of check and test: the second waits, and finds the environment made.
    if command -v flock >/dev/null && : 2>/dev/null >>"$folder.lock"; then
        exec 9>>"$folder.lock"
        flock 9
        current "$@" || set_up "$@"
        exec 9>&-
    else
        set_up "$@"
    fi
}

current() {
    source_of "$@" | cmp -s - "$1/installed" && [ -x "$1/bin/python" ]
}

# Everything that decides what is in an environment.
source_of() {
    echo "$ROOT${2:-}"
    cat "$ROOT/pyproject.toml" ${3:+"$3"}
}

set_up() {
    local folder=$1 extras=${2:-} constraints=${3:-} python
    python=$(usable_python) || fail "Python 3.11 or newer is needed, and none was found on PATH."
    echo "mattecast: setting up $folder (once; a minute or two) ..." >&2
    rm -rf "$folder" 2>/dev/null || fail "$folder is out of date and belongs to another user." \
        "Remove it as that user, or work in a checkout of your own."
    "$python" -m venv "$folder" \
        || fail "'$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"
    pip_install "$folder" --editable "$ROOT$extras" ${constraints:+--constraint "$constraints"} >&2 \
        || fail "the packages could not be installed; pip's own words are above."
    [ -z "$constraints" ] || small_torch "$folder" "$constraints"
    source_of "$@" >"$folder/installed"
}

pip_install() {
    local folder=$1
    shift
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# On Linux, torch from the registry brings gigabytes of CUDA. Its CPU build is taken where pip finds one
# (see CONTRIBUTING.md); elsewhere the tests that need torch are skipped.
small_torch() {
    local folder=$1 constraints=$2 wanted output
    [ "$(uname -s)" = Linux ] || return 0
    wanted="$(grep '^torch==' "$constraints")+cpu"
    output=$(pip_install "$folder" "$wanted" --constraint <(grep -v '^torch==' "$constraints") 2>&1) || {
        echo "mattecast: $wanted was not installed; the tests that need torch will be skipped." >&2
        echo "mattecast: pip says: $(grep ERROR <<<"$output" | tail -n 1)" >&2
    }
}

fail() {
    echo "mattecast: $*" >&2
    exit 1
}

# The first Python that starts and is new enough: a name on PATH may be a shim of a version manager
# with nothing behind it.
usable_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    return 1
}
