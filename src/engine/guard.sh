# Keeps the paths given as arguments and how services are, then starts the timer that puts all of it back.
# `id` and `limit` are set in front of this text.
# shellcheck shell=sh disable=SC2154
d=/run/mini-play.confirm.$id
mkdir -m 700 "$d" || exit
# A path is kept under a number; `p1` says which it is, `f1` is what was there.
n=0
for p; do
	n=$((n + 1))
	printf %s "$p" >"$d/p$n" || exit
	if [ -e "$p" ] || [ -L "$p" ]; then
		cp -a -- "$p" "$d/f$n" || exit
	fi
done
# Every active service and when its state last changed: one that was restarted or reloaded since shows another time.
services() {
	systemctl show --property=Id,ActiveState,StateChangeTimestampMonotonic '*.service' 2>/dev/null | {
		i='' a='' t=''
		while read -r l; do
			case $l in
			Id=*) i=${l#Id=} ;;
			ActiveState=*) a=${l#ActiveState=} ;;
			StateChangeTimestampMonotonic=*) t=${l#*=} ;;
			'')
				[ "$a" != active ] || echo "$i $t"
				i='' a='' t=''
				;;
			esac
		done
		[ "$a" != active ] || echo "$i $t"
	}
}
services >"$d/services"
if command -v iptables-save >/dev/null 2>&1; then
	iptables-save >"$d/iptables" 2>/dev/null || rm -f -- "$d/iptables"
	ip6tables-save >"$d/ip6tables" 2>/dev/null || rm -f -- "$d/ip6tables"
elif command -v nft >/dev/null 2>&1; then
	{ echo 'flush ruleset'; nft list ruleset; } >"$d/nft" 2>/dev/null || rm -f -- "$d/nft"
fi
# Only one of this script and the confirmation gets the folder.
cat >"$d/back" <<'END'
d=$1
mv -- "$d" "$d.back" 2>/dev/null || exit 0
d=$d.back
[ ! -s "$d/iptables" ] || iptables-restore <"$d/iptables"
[ ! -s "$d/ip6tables" ] || ip6tables-restore <"$d/ip6tables"
[ ! -s "$d/nft" ] || nft -f "$d/nft"
n=0
while n=$((n + 1)) && [ -e "$d/p$n" ]; do
p=$(cat "$d/p$n"; echo .)
p=${p%.}
if [ -e "$d/f$n" ] || [ -L "$d/f$n" ]; then
case $p in */*) t=${p%/*}/ ;; *) t=./ ;; esac
t=$(mktemp -d "$t.mini-play.XXXXXX") || continue
if cp -a -- "$d/f$n" "$t/f"; then
[ ! -d "$t/f" ] && [ ! -d "$p" ] || rm -rf -- "$p"
mv -fT -- "$t/f" "$p"
fi
rm -rf -- "$t"
else
rm -rf -- "$p"
fi
done
systemctl daemon-reload
while read -r unit time; do
now=$(systemctl show --value --property=StateChangeTimestampMonotonic "$unit")
[ "$now" = "$time" ] && systemctl -q is-active "$unit" || systemctl restart "$unit"
done <"$d/services"
logger -t mini-play 'a change was not confirmed in time: the old state was put back'
rm -rf -- "$d"
END
if [ -d /run/systemd/system ] && systemd-run --quiet --collect --unit="mini-play-confirm-$id" \
	--on-active="${limit}s" --timer-property=AccuracySec=1s /bin/sh "$d/back" "$d" 2>/dev/null; then
	exit 0
fi
# shellcheck disable=SC2016
setsid /bin/sh -c 'echo $$ >"$1/pid"; sleep "$2"; rm -f -- "$1/pid"; exec /bin/sh "$1/back" "$1"' sh "$d" "$limit" </dev/null >/dev/null 2>&1 &
