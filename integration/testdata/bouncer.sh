# Owns a PgBouncer and its folder, which nobody else may enter.
#
#   sh bouncer.sh PGBOUNCER
#
# Standard output gets the folder. Standard input is a pipe whose other end only
# the test holds. It brings the file of users and the configuration, each ended by
# a line "end". Then each line is a command: "start" or "kill", either of which
# kills what runs. It is answered by "done" or by what went wrong. The end of the
# input, as when the test is killed, is the end of it all.
set -eu
umask 077
socket=.s.PGSQL.6432

bouncer=
kill_it() {
	if [ -n "$bouncer" ]; then
		kill -KILL "$bouncer" 2>/dev/null || :
		wait "$bouncer" 2>/dev/null || : # which says that it was killed
	fi
	bouncer=
	rm -f "$socket" pid
}
start_it() {
	"$1" -q config </dev/null >log 2>&1 &
	bouncer=$!
	# Written behind listen(), which the socket's file is not.
	while [ ! -s pid ]; do
		kill -0 "$bouncer" 2>/dev/null || return 1
		sleep 0.02
	done
}
lines() {
	while IFS= read -r line && [ "$line" != end ]; do
		printf '%s\n' "$line"
	done
}
folder=
cleanup() {
	kill_it
	[ -z "$folder" ] || rm -rf "$folder"
}
trap '' PIPE
trap 'exit 1' HUP INT TERM
trap cleanup EXIT

folder=$(make_folder)
cd "$folder"
echo "$folder"
lines >users
lines >config
while read -r command; do
	kill_it
	if [ "$command" = kill ] || start_it "$1"; then
		echo done
	else
		tail -n 5 log | tr '\n' ' '
		echo
	fi
done
