# Owns a PgBouncer and its folder, which nobody else may enter.
#
#   sh pooler.sh PGBOUNCER
#
# Standard output gets the folder, once the PgBouncer listens in it. Standard input is
# a pipe whose other end only the test holds: it brings the file of users and the
# configuration, each ended by a line "end", and its end is the end of it all.
set -eu
umask 077

pooler=
folder=
cleanup() {
	[ -z "$pooler" ] || kill -KILL "$pooler" 2>/dev/null || :
	[ -z "$folder" ] || rm -rf "$folder"
}
lines() {
	while IFS= read -r line && [ "$line" != end ]; do
		printf '%s\n' "$line"
	done
}
trap '' PIPE
trap 'exit 1' HUP INT TERM
trap cleanup EXIT

folder=$(make_folder)
cd "$folder"
lines >users
lines >config
"$1" -q config </dev/null >log 2>&1 &
pooler=$!
# The file is written behind listen(), which the socket's is not.
while [ ! -s pid ]; do
	kill -0 "$pooler" 2>/dev/null || { cat log >&2; exit 1; }
	sleep 0.02
done
echo "$folder"
cat >/dev/null
