# What the demo needs to tell its story: printing, checking, and programs that end with it. For demo.sh, which sets $root,
# $demo and $logs and reads $output.
# shellcheck shell=bash disable=SC2154,SC2034

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m' erase=$'\r\033[K'
else
    bold='' dim='' green='' red='' plain='' erase=''
fi

# How many steps there are, and which it is.
steps=$(grep -c "^    step '" "$root/hack/demo.sh")
at=0

# Begins a step: what it is, and how long it takes.
step() {
    at=$((at + 1))
    printf '\n%s== %d/%d %s%s%s\n' "$bold" "$at" "$steps" "$1" "$plain" "${2:+ ($2)}"
}
say() { printf '\n%s\n' "$1"; }
ok() { printf '%sok%s  %s\n' "$green" "$plain" "$1"; }

fail() {
    printf '%s\n%serror:%s %s\n' "$erase" "$red" "$plain" "$1" >&2
    shift
    if [ "$#" -gt 0 ]; then
        printf 'The end of %s:\n' "$1" >&2
        tail -n 20 "$1" >&2
    fi
    exit 1
}

# Shows a command, runs exactly that, shows what it prints and keeps it in $output.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    local status=0
    # In the background, so that a signal is heard at once and not when the command is through.
    eval "$1" >"$demo/output" 2>&1 9>&- &
    wait "$!" || status=$?
    cat "$demo/output"
    output=$(cat "$demo/output")
    [ "$status" -eq "${2:-0}" ] || fail "that command ended with status $status"
}

# The same for what only sets the stage: shown with VERBOSE=1, kept in $output either way.
detail() {
    if [ -n "${VERBOSE:-}" ]; then
        run "$1"
        return
    fi
    eval "$1" >"$demo/output" 2>&1 9>&- || { cat "$demo/output" && fail "this command failed: $1"; }
    output=$(cat "$demo/output")
}

# Checks a claim: what, then a command that has to succeed.
claim() {
    local what=$1
    shift
    "$@" || fail "not as it should be: $what"
    ok "$what"
}

# Waits, at most so many seconds, until a command succeeds.
wait_until() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what; the logs are in $logs"
        sleep 0.2
    done
}

# Starts a program that ends with the demo. Its stdout goes to a file, what it logs to another.
start() {
    local name=$1
    shift
    # With job control it gets a process group of its own, which Ctrl-C does not reach: the end comes in order.
    set -m
    sh "$root/hack/demo/while-open.sh" "$@" <"$demo/open" >"$demo/$name.out" 2>"$logs/$name.log" 9>&- &
    set +m
    echo "$!" >"$demo/running/$name"
}

# Whether a program, or anything that it started, is there.
runs() { kill -0 -- "-$(cat "$demo/running/$1")" 2>/dev/null; }

any_runs() {
    local file
    for file in "$demo"/running/*; do
        if [ -e "$file" ] && runs "${file##*/}"; then return 0; fi
    done
    return 1
}

# Waits until a program has said the line of JSON that means that it is ready.
ready() {
    local name=$1 end=$((SECONDS + $2))
    until [ -s "$demo/$name.out" ]; do
        runs "$name" || fail "$name did not start" "$logs/$name.log"
        [ "$SECONDS" -lt "$end" ] || fail "$name did not start in time" "$logs/$name.log"
        sleep 0.1
    done
}

# A text of the line of JSON that a program said.
said() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$demo/$1.out"; }

# Builds run side by side until all have ended; shows what they are at, since the first time takes minutes.
follow() {
    local name text next=0 status
    while any_of_runs "$@"; do
        text=
        for name; do
            runs "$name" && text="$text   $name: $(doing "$name")"
        done
        if [ -n "$erase" ]; then
            printf '%s%s  %s%s%s' "$erase" "$(clock)" "$dim" "$(printf '%s' "${text#   }" | cut -c -$((${COLUMNS:-80} - 8)))" "$plain"
        elif [ "$SECONDS" -ge "$next" ]; then
            printf '%s  %s\n' "$(clock)" "${text#   }"
            next=$((SECONDS + 20))
        fi
        sleep 0.5
    done
    printf '%s' "$erase"
    for name; do
        status=0
        wait "$(cat "$demo/running/$name")" || status=$?
        [ "$status" -eq 0 ] || fail "the build of the $name failed" "$logs/$name.log"
        rm -f "$demo/running/$name"
    done
}

any_of_runs() {
    local name
    for name; do
        if runs "$name"; then return 0; fi
    done
    return 1
}

# What a build is at, by its log.
doing() {
    local crate count
    crate=$(grep '^ *Compiling' "$logs/$1.log" | tail -n 1 | awk '{ print $2 }' || true)
    count=$(grep -c '^ *Compiling' "$logs/$1.log" || true)
    if [ -n "$crate" ]; then
        printf 'crate %s, %s' "$count" "$crate"
    else
        tail -n 1 "$logs/$1.log" | sed 's/^control-plane: //' | grep . || printf 'begins'
    fi
}

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# Ends everything that was started, and waits for it.
stop_all() {
    local file
    exec 9>&-
    for _ in $(seq 150); do
        any_runs || break
        sleep 0.2
    done
    for file in "$demo"/running/*; do
        if [ -e "$file" ] && runs "${file##*/}"; then kill -KILL -- "-$(cat "$file")" 2>/dev/null || true; fi
    done
    rm -rf "$demo/running"
}
