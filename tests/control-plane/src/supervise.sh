# Runs one program for as long as the pipe on stdin is open, so that it ends when the process that wants it is gone for
# whatever reason: statics are not dropped, and nothing is dropped after SIGKILL.
#
# Arguments: NAME RUNNING USER PROGRAM [ARGUMENT...]
#   RUNNING  a folder; the file NAME in it says that the program is there. It exists already, gets the ids of the two
#            processes, and is removed when the program has ended
#   USER     the name of a program that needs this one and is ended before it, or empty
#
# The line "stop" on stdin ends the program at once; the other side then takes care of the order.
name=$1 running=$2 user=$3
shift 3
exec 3<&0 </dev/null

"$@" 3<&- &
program=$!
echo "$$ $program" >"$running/$name"

(
    word=
    read -r word <&3
    i=0
    while [ "$word" != stop ] && [ -n "$user" ] && [ -e "$running/$user" ] && [ "$i" -lt 150 ]; do
        sleep 0.2
        i=$((i + 1))
    done
    kill -TERM "$program"
    i=0
    while kill -0 "$program" && [ "$i" -lt 50 ]; do
        sleep 0.2
        i=$((i + 1))
    done
    kill -0 "$program" && kill -KILL "$program"
) 2>/dev/null &
watcher=$!

wait "$program"
status=$?
kill "$watcher" 2>/dev/null
rm -f "$running/$name"
exit "$status"
