#!/bin/sh
# Build every fuzz target with libFuzzer and the sanitizers, run each for FUZZ_SECONDS from its corpus.
set -eu
BUILD=${BUILD:-build-fuzz}
if ! command -v clang >/dev/null || ! echo 'int main(void){return 0;}' | clang -fsanitize=address -x c -o /dev/null - 2>/dev/null; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-//p' | head -n 1)
	$sudo apt-get install -y -qq clang "libclang-rt-$version-dev" "libomp-$version-dev" >/dev/null
fi
flags='-O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer'
make -j"${JOBS:-2}" CC=clang CFLAGS="$flags" BUILD="$BUILD" "$BUILD/libqconv.a"
status=0
for name in $FUZZERS; do
	make CC=clang CFLAGS="$flags" BUILD="$BUILD" "$BUILD/obj/tests/fuzz/$name.o" >/dev/null
	clang -fsanitize=address,undefined,fuzzer -fopenmp -o "$BUILD/$name" "$BUILD/obj/tests/fuzz/$name.o" \
		"$BUILD/libqconv.a" -lpcre2-8 -lutf8proc -lxxhash -lz -lm -lpthread
	mkdir -p "$BUILD/corpus/$name"
	if "$BUILD/$name" -max_total_time="${FUZZ_SECONDS:-20}" -rss_limit_mb=2048 -timeout=10 -close_fd_mask=3 \
		-artifact_prefix="$BUILD/" "$BUILD/corpus/$name" "tests/fuzz/corpus/${name%_fuzz}" 2>"$BUILD/$name.log"; then
		echo "ok   $name: $(grep -E '^Done' "$BUILD/$name.log" || tail -n 1 "$BUILD/$name.log")"
	else
		echo "FAIL $name"
		tail -n 30 "$BUILD/$name.log"
		status=1
	fi
done
exit $status
