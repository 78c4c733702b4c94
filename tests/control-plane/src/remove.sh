# Removes a temporary folder once the pipe on stdin is closed and no program runs in the folder any more.
#
# Arguments: RUNNING FOLDER
#   RUNNING  the folder in which every running program has a file
exec 2>/dev/null
read -r word
i=0
while [ -n "$(ls -A "$1")" ] && [ "$i" -lt 300 ]; do
    sleep 0.2
    i=$((i + 1))
done
rm -rf "$2"
