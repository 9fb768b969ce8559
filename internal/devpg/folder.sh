# make_folder makes a folder for data and prints its name. In memory every fsync
# is free. WAL and data need room: the 64 MB that containers get by default as
# /dev/shm would fill up in the middle of a test.
make_folder() {
	if [ -w /dev/shm ] && df -Pk /dev/shm | awk 'NR == 2 && $4 < 1048576 { exit 1 }'; then
		mktemp -d /dev/shm/devpg.XXXXXX && return
	fi
	mktemp -d "${TMPDIR:-/tmp}/devpg.XXXXXX" || mktemp -d /tmp/devpg.XXXXXX
}

