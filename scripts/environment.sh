# Sourced by the scripts beside it: `environment DIR [EXTRAS]` makes or renews a private environment.
# A copy of pyproject.toml in DIR says what was installed: when it differs, or the Python behind the
# environment is gone, it is made again. An environment that is current costs one file comparison.

environment() {
    local folder=$1 extras=${2:-} python
    if cmp -s "$ROOT/pyproject.toml" "$folder/installed.toml" && [ -x "$folder/bin/python" ] \
        && [ "$(cat "$folder/root" 2>/dev/null)" = "$ROOT" ]; then
        return
    fi
    python=$(command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3) || {
        echo "mattecast: Python 3.11 or newer is needed, and no python3 was found on PATH." >&2
        return 1
    }
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "mattecast: Python 3.11 or newer is needed; $python is $("$python" -V 2>&1)." >&2
        return 1
    fi
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
