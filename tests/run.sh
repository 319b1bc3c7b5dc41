#!/bin/sh
# All tests of a build: unit programs, command-line cases, corpus replay, structure. Prints one line a test and a closing count.
set -u
BUILD=${BUILD:-build}
export BUILD
# more threads than processors must not spin at barriers
export OMP_WAIT_POLICY=passive
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { # run NAME COMMAND...
	name=$1
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		echo "ok   $name: $(tail -n 1 "$log")"
	else
		failed=$((failed + 1))
		echo "FAIL $name"
		tail -n 40 "$log"
	fi
}

# QUICK: where time is short the sanitizers leave out what takes minutes with them and computes more than it parses
case "${QUICK:-} $BUILD" in
?*' '*asan*) long=' search_test simd_k_test quant_error_test tune_test ' ;;
*) long= ;;
esac
for test in tests/*_test.c; do
	name=$(basename "$test" .c)
	case "$long" in *" $name "*) continue ;; esac
	run "$name" "$BUILD/tests/$name"
done
for target in tests/fuzz/*_fuzz.c; do
	name=$(basename "$target" .c)
	run "replay $name" "$BUILD/tests/replay_$name" tests/fuzz/corpus/"${name%_fuzz}"/*
done
run 'command line' sh tests/cli/run.sh
run layers sh tests/layers.sh
run 'types table' sh tests/types_table.sh
run headers "${MAKE:-make}" --no-print-directory headers

notrun=
. tests/llama-dir.sh
case "$BUILD" in
*asan*) ;; # libllama is not built for the sanitizer, which needs memory of its own; the plain build runs these
*)
	run memory sh tests/memory.sh
	if [ -n "$LLAMA_DIR" ]; then
		run interop sh tests/interop.sh
		run tokenizers sh tests/tokenizers.sh
	else
		notrun='the real client (libllama) was not run: npm or its package is missing; make interop runs it'
	fi
	;;
esac
[ -z "$notrun" ] || echo "$notrun"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
