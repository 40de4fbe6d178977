# Sourced by the scripts beside it: `environment DIR [EXTRAS]` makes or renews a private environment.
# A copy of pyproject.toml in DIR says what was installed: when it differs, or the Python behind the
# environment is gone, it is made again. An environment that is current costs one file comparison.

environment() {
    local folder=$1 extras=${2:-} python
    if cmp -s "$ROOT/pyproject.toml" "$folder/installed.toml" && [ -x "$folder/bin/python" ] \
        && [ "$(cat "$folder/root" 2>/dev/null)" = "$ROOT" ]; then
        return
    fi
    python=$(usable_python) || {
        echo "mattecast: Python 3.11 or newer is needed, and none was found on PATH." >&2
        return 1
    }
    echo "mattecast: setting up $folder (once; a minute or two) ..." >&2
    rm -rf "$folder"
    "$python" -m venv "$folder" || {
        echo "mattecast: '$python -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
        return 1
    }
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$ROOT$extras" >&2 || {
        echo "mattecast: the packages could not be installed; see pip's words above." >&2
        return 1
    }
    echo "$ROOT" > "$folder/root"
    cp "$ROOT/pyproject.toml" "$folder/installed.toml"
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
