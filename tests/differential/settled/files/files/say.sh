#!/bin/sh
echo "$# $* $X"
[ "$1" != fail ] || { echo no >&2; exit 4; }
