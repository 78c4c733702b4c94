# shellcheck shell=bash
# Sourced by scripts that run programs of PyPI.

# Puts packages (name==version) into a folder of the cache, once, and prints the folder of their programs. Fails where there is no
# Python that could install them.
python_programs() {
    local packages=$*
    local folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/python-programs/${packages//[ =]/-}
    if [ ! -e "$folder/complete" ]; then
        rm -rf "$folder"
        { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"; } >/dev/null 2>&1 || return
        touch "$folder/complete"
    fi
    echo "$folder/bin"
}
