#!/bin/sh
# The table of types in README.md and the manual page is what `qconv types` prints. UPDATE=1 writes it there.
set -eu
BUILD=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
QCONV_CPU=scalar "$BUILD/qconv" types | sed -n '/^  name  *bits/,$p' >"$work/table"
[ "$(wc -l <"$work/table")" -gt 20 ] || { echo 'qconv types prints no table'; exit 1; }
bad=0
check() { # check FILE FIRST LAST INDENT: the lines between those that hold FIRST and LAST
	sed "s/^/$4/" "$work/table" >"$work/want"
	awk -v first="$2" -v last="$3" 'index($0, last) { on = 0 } on { print } index($0, first) { on = 1 }' "$1" >"$work/have"
	if cmp -s "$work/want" "$work/have"; then
		return
	elif [ "${UPDATE:-}" ]; then
		awk -v first="$2" -v last="$3" -v table="$work/want" 'index($0, last) { on = 0 } !on { print }
			index($0, first) { on = 1; while ((getline line < table) > 0) print line }' "$1" >"$work/new"
		cat "$work/new" >"$1"
	else
		echo "$1: not the table of 'qconv types' (UPDATE=1 sh tests/types_table.sh writes it)"
		diff "$work/have" "$work/want" | head -n 10
		bad=1
	fi
}
check README.md '<!-- qconv types -->' '<!-- end of types -->' '  '
check man/qconv.1 '.\\" qconv types' '.\\" end of types' ''
[ $bad = 0 ] && echo 'the tables in README.md and the manual page are those of qconv types'
