#!/bin/sh
# One output hash per (input, options): over compilers, optimization levels, ISA levels, thread counts, and machines: aarch64 and the big-endian
# s390x are cross-built and run under qemu-user (CROSS= leaves them out; COMPILERS, LEVELS and CROSS choose some).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
n=0
# input/recipe/method; the long list is for native -O2 and -O3, the short one for builds and machines that are slow
short='hf/q8_0/reference hf/q4_0/search hf/q4_k_m/reference hf/iq4_xs/reference hf/nvfp4/search hf/mxfp4/reference gguf/q4_0/reference'
long="$short hf/q5_1/search hf/q4_k_m/search hf/q6_k/search hf/iq4_xs/search hf/mxfp4/search hf/bf16/reference gguf/q8_0/search gguf/q4_k_m/reference"

check() { # check LABEL "CASES" PROGRAM...
	label=$1 cases=$2
	shift 2
	for case in $cases; do
		recipe=${case#*/}
		input=samples/tiny-gemma3
		[ "${case%%/*}" = hf ] || input=$work/source.gguf
		"$@" "$input" "$work/out.gguf" --q "${recipe%/*}" --method "${recipe#*/}" --threads "${threads:-2}" --force --no-manifest --quiet
		sum=$(xxhsum -H2 <"$work/out.gguf" | cut -c1-32)
		expected=$work/$(echo "$case" | tr / -).sum
		[ -f "$expected" ] || echo "$sum" >"$expected"
		if [ "$sum" != "$(cat "$expected")" ]; then
			echo "hashes: $label, $case: $sum, the first build gave $(cat "$expected")" >&2
			exit 1
		fi
	done
	n=$((n + 1))
	echo "ok   $label"
}

command -v xxhsum >/dev/null || { sudo=; [ "$(id -u)" = 0 ] || sudo=sudo; $sudo apt-get install -y -qq xxhash >/dev/null; }
own=gcc
if "${CC:-cc}" --version | grep -q clang; then own=clang; fi
default=gcc
if command -v clang >/dev/null; then default='gcc clang'; fi
isas="scalar $(grep -o -w -m1 avx2 /proc/cpuinfo | head -n 1 || true) $(grep -o -w -m1 avx512bw /proc/cpuinfo | head -n 1 | sed s/bw// || true)"
for cc in ${COMPILERS-$default}; do
	for level in ${LEVELS--O2 -O3 -O0}; do
		# QUICK: where time is short, one level of the second compiler
		[ "${QUICK:-}" ] && [ "$cc" != gcc ] && [ "$level" != -O2 ] && continue
		if [ "$cc $level" = "$own -O2" ]; then # what make builds unasked, which may be there
			build=${BUILD:-build}
			make -j"$(nproc)" BUILD="$build" "$build/qconv" >/dev/null
		else
			build=build-hash-$cc$level
			make -j"$(nproc)" CC="$cc" CFLAGS="$level" BUILD="$build" "$build/qconv" >/dev/null
		fi
		[ -f "$work/source.gguf" ] || "$build/qconv" samples/tiny-gemma3 "$work/source.gguf" --no-manifest --quiet
		cases=$long
		[ "$level" != -O0 ] || cases=$short
		for isa in $isas; do
			check "$cc $level $isa" "$cases" env QCONV_CPU="$isa" "$build/qconv"
		done
		[ "$level" = -O0 ] || fast=$build
	done
done
for threads in 1 3 4 8 16; do
	check "$threads threads" "$short" "${fast:-$build}/qconv"
done
threads=2
for arch in ${CROSS-arm64 s390x}; do
	build=build-hash-$arch
	tests='quant_golden_test gguf_test safetensors_test'
	[ "$arch" != arm64 ] || tests="$tests variants_test simd_test simd_k_test search_pack_test fp4_encode_test bnb_test"
	if ! sh tests/cross.sh "$arch" "$build" qconv $(printf 'tests/%s ' $tests) >"$work/log" 2>&1; then
		tail -n 20 "$work/log"
		echo "not run: no program for $arch can be built here"
		continue
	fi
	check "$arch" "$short" "$build/run" "$build/qconv"
	for test in $tests; do
		"$build/run" "$build/tests/$test" quick >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
		n=$((n + 1))
		echo "ok   $arch $test: $(tail -n 1 "$work/log")"
	done
done
echo "hashes: $n ways, one result"
