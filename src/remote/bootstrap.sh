# The kept shell: runs its first turn, which is part of it, and reads more from standard input until that ends.
# shellcheck shell=sh disable=SC2154
# The controller sets mp_n, the nonce of this shell, in front of this text; MP_TMP too when an earlier shell made it; and
# mp_stay when commands run where the shell was started.
exec 3<&0 4>&1 5>&2 </dev/null
umask 022
LC_ALL=C
export LC_ALL MP_TMP
unset ENV BASH_ENV CDPATH
[ "$mp_stay" ] || cd "${HOME:-/}" 2>/dev/null || cd / || exit
case ":$PATH:" in
*:/usr/sbin:*) ;;
*) PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" ;;
esac
mp_sid=
command -v setsid >/dev/null 2>&1 && mp_sid=setsid
# Gives back the host if this shell holds it; see lock.sh.
mp_free() {
	for mp_d in /run/lock /tmp; do
		[ -f "$mp_d/mini-play.lock" ] && [ ! -L "$mp_d/mini-play.lock" ] && read -r mp_l mp_t mp_q <"$mp_d/mini-play.lock" && [ "$mp_t" = "$$" ] && rm -f -- "$mp_d/mini-play.lock"
	done 2>/dev/null
}
trap 'cd /; mp_free; [ -z "$MP_TMP" ] || rm -rf -- "$MP_TMP"' EXIT
trap 'exit 129' HUP INT TERM PIPE

# Leaves: the controller opens another shell, which keeps the private directory.
mp_bye() {
	printf '\001%s x\n' "$mp_n"
	trap - EXIT
	exit 0
}

# Ends chunk $1 with status $2 on both streams.
mp_end() {
	printf '\001%s e %s %s\n' "$mp_n" "$1" "$2"
	printf '\001%s e %s\n' "$mp_n" "$1" >&2
}

# Copies exactly $1 bytes of the channel: dd never reads past them. Our mark follows them; without it the line broke, and the
# reader of a part must not take it for the whole: everything ends here. Fails when the bytes could not be written: with
# $2 whatever the cause, else only when the reader left bytes in the channel.
mp_pass() {
	mp_q=$(($1 / 65536)) mp_r=$(($1 % 65536))
	if [ "$mp_q" -gt 0 ]; then
		dd bs=65536 "count=$mp_q" iflag=fullblock 2>/dev/null <&3
		case $?$2 in
		0 | 0f) ;;
		141 | *f) return 1 ;;
		*) kill -TERM 0 ;;
		esac
	fi
	mp_l=0
	if [ "$mp_r" -gt 0 ]; then
		dd "bs=$mp_r" count=1 iflag=fullblock 2>/dev/null <&3
		mp_l=$?
	fi
	mp_q=
	read -r mp_q <&3
	[ "$mp_q" = "$mp_n" ] || kill -TERM 0
	[ -z "$2" ] || return "$mp_l"
}

# Whether the turn has failed already; then the $1 bytes meant for the chunk are dropped, or the shell with them.
mp_over() {
	[ -n "$mp_f" ] || return
	[ "${1:-0}" -le 1048576 ] || mp_bye
	[ -z "$1" ] || mp_pass "$1" >/dev/null
	return 0
}

# The private directory, made when it is first needed, where programs can be written and run.
mp_tmp() {
	[ -z "$mp_f" ] || return
	[ -z "$MP_TMP" ] || [ ! -d "$MP_TMP" ] || return
	for mp_d in /tmp "$TMPDIR" /var/tmp "$HOME"; do
		[ -n "$mp_d" ] || continue
		MP_TMP=$(mktemp -d "$mp_d/.mini-play.XXXXXXXXXX" 2>/dev/null) || continue
		if { printf '#!/bin/sh\n#%4096s\n' x >"$MP_TMP/x" && chmod 700 "$MP_TMP/x" && "$MP_TMP/x"; } 2>/dev/null; then
			rm -f -- "$MP_TMP/x"
			printf '\001%s t %s\n' "$mp_n" "$MP_TMP"
			return
		fi
		rm -rf -- "$MP_TMP"
	done
	MP_TMP=/nonexistent/mini-play
	echo "no place for temporary files: tried /tmp, TMPDIR, /var/tmp and the home directory" >&2
}

# A chunk of our own making: $1 number, $2 stop at failure, $3 script, $4 bytes of input.
mp_p() {
	mp_over "$4" && return
	if [ -z "$4" ]; then
		(eval "$3") 3<&- 4>&- 5>&-
		mp_s=$? mp_d=0
	else
		mp_d=$({ {
			mp_pass "$4"
			echo "$?" >&8
		} | (eval "$3") >&4 2>&5 3<&- 4>&- 5>&- 8>&-; } 8>&1)
		mp_s=$?
	fi
	mp_end "$1" "$mp_s"
	[ "$mp_d" = 0 ] || mp_bye
	[ "$2$mp_s" = 10 ] || [ "$2" = 0 ] || mp_f=1
}

# Any other chunk: $1 number, $2 stop at failure, $3 script, $4 limit in seconds or 0, $5 bytes of input. It runs in a
# session of its own, and its output goes through pipes of its own, so that what it leaves behind in the background
# neither holds it up nor writes into the output of others. Such a left-over ends this shell.
mp_c() {
	mp_over "$5" && return
	mp_i=/dev/null
	if [ -n "$5" ]; then
		mp_tmp
		mp_i=$MP_TMP/in
		if ! (umask 077 && mp_pass "$5" f >"$mp_i"); then
			echo "cannot write the input to $mp_i" >&2
			rm -f -- "$mp_i"
			mp_end "$1" 1
			mp_bye
		fi
	fi
	exec 7<"$mp_i"
	[ -z "$5" ] || rm -f -- "$mp_i"
	mp_e=$({ {
		{ {
			{
				mp_go "$3" "$4"
				mp_s=$?
				echo "r$mp_s" >&8
				mp_end "$1" "$mp_s"
			} 2>&1 >&9 9>&- | mp_relay e >&5 9>&-
		} 9>&1 | mp_relay o >&4; }
		{
			sleep 0.3 || sleep 1
			echo t >&8
		} >/dev/null 2>&1 3<&- 4>&- 5>&- 7<&- &
	} 8>&1 | mp_wait; })
	exec 7<&-
	mp_s=${mp_e%%[!0-9]*}
	if [ -z "$mp_s" ]; then
		mp_s=137
		mp_end "$1" 137
	fi
	case $mp_e in *x) mp_bye ;; esac
	[ "$2$mp_s" = 10 ] || [ "$2" = 0 ] || mp_f=1
}

# Runs script $1 with limit $2; the script itself travels on descriptor 6.
mp_go() {
	printf '%s' "$1" | mp_box "$2" 6<&0 <&7 7<&-
}

mp_box() {
	# shellcheck disable=SC2016,SC2086
	if [ "$1" = 0 ]; then
		$mp_sid /bin/sh -c 'eval "$(cat <&6)" 6<&-'
	else
		timeout -k 5 "$1" /bin/sh -c 'eval "$(cat <&6)" 6<&-'
	fi 3<&- 4>&- 5>&- 8>&- 9>&-
}

# Copies what it reads, in the background, and tells on descriptor 8 when that ended.
mp_relay() {
	{
		{
			cat <&6
			echo "$1" >&8
		} 3<&- 7<&- 9>&- &
	} 6<&0
}

# Reads the events of a chunk; prints its status, and x when something was left over.
mp_wait() {
	mp_s='' mp_o=1 mp_w=1
	while [ -n "$mp_o$mp_w" ] && read -r mp_l; do
		case $mp_l in
		r*) mp_s=${mp_l#r} ;;
		o) mp_o='' ;;
		e) mp_w='' ;;
		*) break ;;
		esac
	done
	echo "$mp_s${mp_o:+x}${mp_w:+x}"
}

printf '\001%s r\n' "$mp_n"
printf '\001%s r\n' "$mp_n" >&2
mp_f=
# The first turn goes here.
while read -r mp_l mp_t <&3; do
	[ "$mp_t" = "$mp_n" ] || break
	mp_f=
	eval "$(dd "bs=$mp_l" count=1 iflag=fullblock 2>/dev/null <&3)"
done
