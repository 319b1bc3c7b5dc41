#!/bin/sh
# One output hash per (input, options): over compilers, optimization levels, ISA levels and thread counts.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=
n=0
check() { # check BUILD LABEL
	sum=
	for recipe in q8_0 q4_0 q5_1 q4_k_m q5_k_s q6_k bf16; do
		QCONV_CPU=${3:-} "$1/qconv" samples/tiny-gemma3 "$work/out.gguf" --q $recipe --threads "${4:-2}" --force --quiet
		sum="$sum $(xxhsum -H2 <"$work/out.gguf" | cut -c1-32)"
	done
	if [ -z "$first" ]; then
		first=$sum
	elif [ "$sum" != "$first" ]; then
		echo "hashes: $2 gives$sum, the first build gave$first" >&2
		exit 1
	fi
	n=$((n + 1))
	echo "ok   $2"
}
command -v xxhsum >/dev/null || { sudo=; [ "$(id -u)" = 0 ] || sudo=sudo; $sudo apt-get install -y -qq xxhash >/dev/null; }
compilers=gcc
if command -v clang >/dev/null; then compilers='gcc clang'; fi
for cc in $compilers; do
	for level in -O0 -O2 -O3; do
		build=build-hash-$cc$level
		make -j"$(nproc)" CC=$cc CFLAGS=$level BUILD="$build" "$build/qconv" >/dev/null
		for isa in scalar $(grep -o -w -m1 avx2 /proc/cpuinfo || true) $(grep -o -w -m1 avx512bw /proc/cpuinfo | sed s/bw// || true); do
			check "$build" "$cc $level $isa" "$isa" 2
		done
	done
done
for threads in 1 3 4 8 16; do
	check build-hash-gcc-O2 "gcc -O2, $threads threads" '' $threads
done
echo "hashes: $n ways, one result"
