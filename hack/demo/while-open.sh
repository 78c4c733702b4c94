# shellcheck shell=sh
# Runs a command for as long as the pipe on stdin is open, so that it ends when the demo is gone, for whatever reason: no
# trap runs after SIGKILL. Ends with the command's status. To be started as the leader of a process group, all of which it
# ends.
exec 3<&0 </dev/null

"$@" 3<&- &
command=$!
(
    read -r _ <&3
    kill -TERM 0
) &
watcher=$!

wait "$command"
status=$?
kill "$watcher"
exit "$status"
