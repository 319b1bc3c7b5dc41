#!/bin/sh
# Command-line cases: each NAME.sh runs in an empty folder with $QCONV, $ROOT and $DATA set; its stdout, stderr and exit code must be those of
# NAME.out, NAME.err and NAME.code (absent: empty, empty, 0). UPDATE=1 rewrites them: read the diff. run.sh NAME... runs only those cases.
set -u
BUILD=$(cd "${BUILD:-build}" && pwd)
ROOT=$(pwd)
DATA=$ROOT/tests/data
QCONV=$BUILD/qconv
export QCONV ROOT DATA BUILD
# the machine must not show: processors, free disk, terminal, SIMD level
export QCONV_CPU=scalar TERM=dumb LC_ALL=C
# the cases use these: without them the expected output would become that of a failure
if [ "${UPDATE:-}" ]; then
	for program in qconv tests/tiny_safetensors; do
		[ -x "$BUILD/$program" ] || { echo "UPDATE: $BUILD/$program is missing: make BUILD=... test-programs first" >&2; exit 1; }
	done
fi
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tidy() { sed -e "s|$work/case|.|g" -e "s|$ROOT/||g" -e "s|$BUILD/||g"; }

[ $# -gt 0 ] || set -- $(cd tests/cli && ls *.sh | sed 's/\.sh$//' | grep -vx run)
for name; do
	case=tests/cli/$name.sh
	rm -rf "$work/case"
	mkdir "$work/case"
	(cd "$work/case" && sh -eu "$ROOT/$case") >"$work/out.raw" 2>"$work/err.raw" </dev/null
	echo $? >"$work/code"
	tidy <"$work/out.raw" >"$work/out"
	tidy <"$work/err.raw" >"$work/err"
	expected=tests/cli/$name
	if [ "${UPDATE:-}" ]; then
		for part in out err code; do
			if [ -s "$work/$part" ] && [ "$(cat "$work/$part")" != 0 ]; then cp "$work/$part" "$expected.$part"; else rm -f "$expected.$part"; fi
		done
	fi
	bad=
	for part in out err code; do
		want=/dev/null
		[ $part = code ] && echo 0 >"$work/want" && want=$work/want
		[ -f "$expected.$part" ] && want=$expected.$part
		diff -u "$want" "$work/$part" >"$work/diff" || { bad=1; sed "s|^|$name: |" "$work/diff" | head -n 20; }
	done
	if [ "$bad" ]; then failed=$((failed + 1)); else passed=$((passed + 1)); fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
