# Owns the folder of all nodes of one process, from its making to its removal.
#
# Standard input is a pipe whose other end only that process holds. It stays
# silent, and closes when the process ends, in whatever way. Then everything that
# works in the folder is killed. Standard output gets one line: the folder, or
# why there is none.
set -eu
umask 077

dir=
# Servers, their backends and all programs that make them have their working
# directory in the folder. What a process forks while it is being killed is seen
# the next time.
inside() {
	find /proc -mindepth 2 -maxdepth 2 -name cwd -lname "$dir*" 2>/dev/null | sed 's,^/proc/\([0-9]*\)/cwd$,\1,'
}
# A server that is killed leaves a segment of shared memory, which is known by who
# has made it.
segments() {
	awk -v pids="$*" 'BEGIN { n = split(pids, p); for (i = 1; i <= n; i++) maker[p[i]] = 1 }
		NR > 1 && $5 in maker && $7 == 0 { print $2 }' /proc/sysvipc/shm
}
cleanup() {
	[ -n "$dir" ] || return 0
	servers=$(head -qn 1 "$dir"/*/data/postmaster.pid 2>/dev/null || :) # killed before
	while pids=$(inside) && [ -n "$pids" ]; do
		servers="$servers $pids"
		kill -KILL $pids 2>/dev/null || :
		sleep 0.02
	done
	for segment in $(segments $servers); do
		ipcrm -m "$segment" || :
	done
	rm -rf "$dir"
}
# A process that is gone reads nothing: a write to it must fail, not kill the
# shell before it has cleaned up.
trap '' PIPE
trap 'exit 1' HUP INT TERM
trap cleanup EXIT

dir=$(make_folder)
echo "$dir"
read -r _ || :
