# Owns one throwaway PostgreSQL from the making of its folder to its removal.
#
#   sh supervise.sh BIN PORT...
#
# Standard input is a pipe whose other end only the parent holds. Its first line
# is the superuser's password; after that it stays silent, and it closes when
# the parent closes it, exits, panics or is killed. That ends the server.
# Standard output gets one line, the port, once connections are accepted;
# standard error says why there is no server.
set -eu
umask 077
unset DEVPG_SUPERVISE
bin=$1
shift

dir=
server=
cleanup() {
	if [ -n "$server" ] && kill -0 "$server"; then
		"$bin/pg_ctl" stop -s -D "$dir/data" -m fast -t 10 || kill -QUIT "$server" || :
	fi
	wait
	[ -z "$dir" ] || rm -rf "$dir"
}
# A parent that is gone reads nothing: a write to it must fail, not kill the
# shell before it has cleaned up.
trap '' PIPE
trap 'exit 1' HUP INT TERM
trap cleanup EXIT

IFS= read -r password

# In memory every fsync is free. WAL and data need room: the 64 MB that
# containers get by default as /dev/shm would fill up in the middle of a test.
if [ -w /dev/shm ] && df -Pk /dev/shm | awk 'NR == 2 && $4 < 1048576 { exit 1 }'; then
	dir=$(mktemp -d /dev/shm/devpg.XXXXXX) || dir=
fi
if [ -z "$dir" ]; then
	dir=$(mktemp -d "${TMPDIR:-/tmp}/devpg.XXXXXX") || dir=$(mktemp -d /tmp/devpg.XXXXXX)
fi

printf '%s\n' "$password" >"$dir/password"
if ! "$bin/initdb" -D "$dir/data" -U postgres --pwfile="$dir/password" --auth=scram-sha-256 \
	--encoding=UTF8 --no-locale --no-sync >"$dir/log" 2>&1; then
	tail -n 5 "$dir/log" >&2
	exit 1
fi
rm "$dir/password"
cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
max_wal_size = 256MB
timezone = 'UTC'
CONF

# A port that was free a moment ago may be taken by now: the next one is tried.
for port; do
	"$bin/postgres" -D "$dir/data" -p "$port" </dev/null >>"$dir/log" 2>&1 &
	server=$!
	while kill -0 "$server" 2>/dev/null; do
		if grep -q '^ready' "$dir/data/postmaster.pid" 2>/dev/null; then
			echo "$port"
			# Nothing more is ever written: this returns when the pipe closes.
			read -r _ || :
			exit 0
		fi
		sleep 0.02
	done
	wait "$server" || :
done
tail -n 5 "$dir/log" >&2
exit 1
