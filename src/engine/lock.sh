# Takes the host for this run, before anything is changed. `run` and `who` are set in front of this text.
# shellcheck shell=sh disable=SC2154
# The lock is a file that names the kept shell which holds it: when that shell is gone, the lock is void. So nothing
# has to be given back over a line that broke, and no clock is compared. The shell removes it at its end (bootstrap.sh).
dir=/run/lock
[ -d "$dir" ] && [ -w "$dir" ] || dir=/tmp
lock=$dir/mini-play.lock

# Mostly it is ours already.
read -r holder pid start words 2>/dev/null <"$lock" && [ "$holder $pid" = "$run $$" ] && exit 0

# When process $1 began, in ticks since the host did; nothing for a process that is gone.
began() {
	read -r line 2>/dev/null <"/proc/$1/stat" || return
	# shellcheck disable=SC2086
	set -- ${line##*) }
	echo "${20}"
}

words=
new=$(mktemp "$dir/.mini-play.XXXXXX" 2>/dev/null) || exit 0
trap 'rm -f -- "$new"' EXIT
if ! printf '%s %s %s %s\n' "$run" "$$" "$(began $$)" "$who" 2>/dev/null >"$new"; then
	why=$(echo full | cat 2>&1 >"$new")
	echo "the host is not locked: $dir: ${why##*: }"
	exit 0
fi
chmod 644 "$new"
for _ in 1 2 3; do
	ln "$new" "$lock" 2>/dev/null && exit 0
	read -r holder pid start words 2>/dev/null <"$lock" || continue
	if [ -n "$start" ] && [ "$(began "$pid")" = "$start" ]; then
		[ "$holder" != "$run" ] || exit 0
		echo "another run is at work on this host: $words" >&2
		exit 1
	fi
	# Moved away, not removed: of two that come here at once, only one gets it.
	mv -f "$lock" "$new.old" 2>/dev/null && [ "$holder" = "$run" ] || echo "took over the lock of a run that is gone: $words"
	rm -f -- "$new.old"
done
echo "$lock is of a run that is gone and cannot be replaced: $words" >&2
exit 1
