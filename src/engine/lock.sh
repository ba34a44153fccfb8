# Takes the host for this run, before anything is changed. `run` and `who` are set in front of this text.
# shellcheck shell=sh disable=SC2154
# The lock is a file that names the kept shell which holds it: when that shell is gone, the lock is void. So nothing
# has to be given back over a line that broke, and no clock is compared. The shell removes it at its end (bootstrap.sh).
dir=/run/lock
[ -d "$dir" ] && [ -w "$dir" ] || dir=/tmp
lock=$dir/mini-play.lock

# What the lock says. Anybody may write into that folder: a pipe would hold us up, a link lead us elsewhere.
told() {
	holder='' pid='' start='' words=''
	[ -f "$lock" ] && [ ! -L "$lock" ] && read -r holder pid start words 2>/dev/null <"$lock"
}

# Mostly it is ours already.
told && [ "$holder $pid" = "$run $$" ] && exit 0

# When process $1 began, in ticks since the host did; nothing for a process that is gone.
began() {
	read -r line 2>/dev/null <"/proc/$1/stat" || return
	# shellcheck disable=SC2086
	set -- ${line##*) }
	echo "${20}"
}

new=$(mktemp "$dir/.mini-play.XXXXXX" 2>/dev/null) || exit 0
trap 'rm -f -- "$new"' EXIT
if ! printf '%s %s %s %s\n' "$run" "$$" "$(began $$)" "$who" 2>/dev/null >"$new"; then
	why=$(echo full | cat 2>&1 >"$new")
	echo "the host is not locked: $dir: ${why##*: }"
	exit 0
fi
chmod 644 "$new"
tries=0 held=
while [ "$tries" -lt 10 ]; do
	tries=$((tries + 1))
	ln -T "$new" "$lock" 2>/dev/null && exit 0
	if told; then
		if [ -n "$start" ] && [ "$(began "$pid")" = "$start" ]; then
			[ "$holder" != "$run" ] || exit 0
			# A shell whose run has just ended may need a moment to be gone.
			held="another run is at work on this host: $words"
			sleep 0.2 2>/dev/null || sleep 1
			continue
		fi
		why="took over the lock of a run that is gone: $words"
	elif [ -e "$lock" ] || [ -L "$lock" ]; then
		why="took away $lock, which was no lock of ours"
	else
		continue
	fi
	held=
	# Moved away, not removed: of two that come here at once, only one gets it.
	mv -f -T "$lock" "$new.old" 2>/dev/null && [ "$holder" != "$run" ] && echo "$why"
	rm -rf -- "$new.old"
done
echo "${held:-$lock is in the way and cannot be replaced: ${words:-it is no lock of ours}}" >&2
exit 1
