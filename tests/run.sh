#!/bin/sh
# All tests of a build: unit programs, command-line cases, corpus replay, structure; as many at a time as there are processors (JOBS). Prints one
# line a test and a closing count.
set -u
BUILD=${BUILD:-build}
export BUILD
# more threads than processors must not spin at barriers
export OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# libllama is not built for the sanitizer, which needs memory of its own: the plain build runs these, and what is the same for both
case "$BUILD" in
*asan*) plain= ;;
*) plain=1 ;;
esac
if [ "$plain" ]; then . tests/llama-dir.sh; fi
# QUICK: where time is short the sanitizers leave out what takes minutes with them and computes more than it parses
long=
if [ "${QUICK:-}" ] && [ ! "$plain" ]; then long=' search_test simd_k_test quant_error_test tune_test '; fi

# NAME|COMMAND a line; what takes longest comes first
list() {
	if [ "$plain" ]; then
		if [ "$LLAMA_DIR" ]; then
			echo 'interop|sh tests/interop.sh'
			echo 'tokenizers|sh tests/tokenizers.sh'
		fi
		echo 'memory|sh tests/memory.sh'
		echo 'shapes|sh tests/shapes.sh'
		echo 'engine memory|sh tests/memory_engine.sh'
		echo 'layers|sh tests/layers.sh'
		echo 'types table|sh tests/types_table.sh'
		echo "headers|${MAKE:-make} --no-print-directory headers"
	fi
	echo 'command line|sh tests/cli/run.sh'
	for test in tests/*_test.c; do
		name=$(basename "$test" .c)
		case "$long" in *" $name "*) ;; *) echo "$name|$BUILD/tests/$name" ;; esac
	done
	for target in tests/fuzz/*_fuzz.c; do
		name=$(basename "$target" .c)
		echo "replay $name|$BUILD/tests/replay_$name tests/fuzz/corpus/${name%_fuzz}/*"
	done
}

# Takes tests from the list until there are none: one that has a folder was taken by another worker.
worker() {
	while IFS='|' read -r name command; do
		mkdir "$work/$name" 2>/dev/null || continue
		log=$work/$name/log
		if sh -c "$command" >"$log" 2>&1 </dev/null; then
			echo "ok   $name: $(tail -n 1 "$log")" >"$work/$name/passed"
			cat "$work/$name/passed"
		else
			(echo "FAIL $name" && tail -n 40 "$log") >"$work/$name/failed"
			cat "$work/$name/failed"
		fi
	done <"$work/list"
}

list >"$work/list"
for i in $(seq "${JOBS:-$(nproc)}"); do worker & done
wait
if [ "$plain" ] && [ -z "$LLAMA_DIR" ]; then
	echo 'the real client (libllama) was not run: npm or its package is missing; make interop runs it'
fi
[ -z "$long" ] || echo "left out for QUICK:$long"
while IFS='|' read -r name command; do
	[ -e "$work/$name/passed" ] || [ -e "$work/$name/failed" ] || echo "FAIL $name: it did not end, or another test has its name"
done <"$work/list"
count() { find "$work" -name "$1" | wc -l; }
passed=$(count passed)
failed=$(count failed)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ] && [ "$passed" = "$(wc -l <"$work/list")" ]
