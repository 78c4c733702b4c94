# shellcheck shell=bash
# Sourced by scripts that need a real API server for as long as they run.

# Starts one and exports its KUBECONFIG. Sets $work to a folder, which goes with the API server when the script ends, and $kubectl to a
# client unless it is set. To be called in the root of the repository.
start_control_plane() {
    work=$(mktemp -d)
    control_plane=
    trap stop_control_plane EXIT
    kubectl=${kubectl:-$(cargo run --quiet --locked --package control-plane -- which kubectl)}
    # cargo makes way for the program, so that the signal in the end reaches it.
    cargo run --quiet --locked --package control-plane -- up --directory "$work/control-plane" --kubeconfig "$work/kubeconfig" >"$work/said" &
    control_plane=$!
    for _ in $(seq 300); do
        [ ! -s "$work/said" ] || break
        kill -0 "$control_plane"
        sleep 0.2
    done
    export KUBECONFIG=$work/kubeconfig
}

stop_control_plane() {
    [ -z "$control_plane" ] || { kill "$control_plane" && wait "$control_plane"; } 2>/dev/null || true
    rm -rf "$work"
}
