# Owns one throwaway PostgreSQL from the making of its folder to its removal.
#
# Its arguments are the folder of the programs, the folder to make the data's in or
# nothing, further lines of its configuration, and the ports to try.
#
# Standard input is a pipe whose other end only the parent holds. Its first line
# is the superuser's password; after that it stays silent, and it closes when
# the parent closes it, exits, panics or is killed. That ends the server.
# Standard output gets one line, the port, once connections are accepted;
# standard error says why there is no server.
set -eu
umask 077
bin=$1
parent=$2
settings=$3
shift 3

dir=
server=
cleanup() {
	if [ -n "$server" ] && kill -0 "$server"; then
		"$bin/pg_ctl" stop -s -D "$dir/data" -m immediate -t 30 || kill -QUIT "$server" || :
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

dir=$(if [ -n "$parent" ]; then mktemp -d "$parent/devpg.XXXXXX"; else make_folder; fi)

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
$settings
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
