#!/bin/sh
# The engine takes the memory that its plan says: eval, text that is generated, calibrate and --calib, in memory and with activations in a
# temporary file, on a synthetic llama of one layer with 2 threads. FULL=1: 62 layers, a billion parameters (half an hour, --calib an hour more;
# 3 GB of disk in TMPDIR).
set -eu
BUILD=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
layers=1
windows=24
case ${FULL:-} in ?*) layers=62 windows=16 ;; esac
program=24576 # KiB: the program, its libraries and BLAS' packed operands, which these plans say they leave out
"$BUILD/tests/make_model" "$work/model" $layers 1024 >/dev/null
awk 'BEGIN { srand(1); for (i = 0; i < 40000; i++) printf "t%d ", 259 + int(rand() * 760) }' >"$work/text.txt"
bytes() { awk '{ u["B"] = 1; u["kB"] = 1e3; u["MB"] = 1e6; u["GB"] = 1e9; printf "%.0f\n", $1 * u[$2] }'; }
# measure PLANNED-BYTES BESIDE-KIB COMMAND...
measure() {
	[ "$1" ] || exit 1
	plan=$(($1 / 1024 + $2))
	shift 2
	peak=$("$BUILD/tests/peak_memory" "$BUILD/qconv" "$@" --threads 2 --quiet 2>"$work/log") || { cat "$work/log" >&2; exit 1; }
	if [ "$peak" -gt $plan ]; then
		echo "memory: $*: $peak KiB, the plan says $plan" >&2
		exit 1
	fi
	echo "$peak KiB (plan: $plan)  $*" | sed "s|$work/||g"
}
planned() { "$BUILD/qconv" "$@" --threads 2 --dry-run | sed -n 's/^peak memory \([0-9.]* [kMG]*B\),.*/\1/p' | bytes; }
set -- eval "$work/model" --text "$work/text.txt" --windows $windows
measure "$(planned "$@")" $program "$@"
measure "$(planned "$@" --mem-limit 190M)" $program "$@" --mem-limit 190M
set -- eval "$work/model" --prompt 't300 t301' -n 8
measure "$(planned "$@")" $program "$@"
measure "$(planned "$@" --mem-limit 120M)" $program "$@" --mem-limit 120M
for limit in 0 150M; do
	set -- calibrate "$work/model" --text "$work/text.txt" --windows $windows -o "$work/im.gguf" --force
	[ $limit = 0 ] || set -- "$@" --mem-limit $limit
	plan=$("$BUILD/qconv" "$@" --threads 2 --dry-run --json | sed -n 's/.*"peak_bytes": \([0-9]*\).*/\1/p')
	measure "$plan" $program "$@"
done
for limit in ${FULL:+0} 760M; do
	set -- "$work/model" "$work/out.gguf" --q q4_0 --calib "$work/text.txt" --calib-windows $windows --force --no-manifest
	[ $limit = 0 ] || set -- "$@" --mem-limit $limit
	plan=$("$BUILD/qconv" "$@" --threads 2 --dry-run --json | sed -n 's/.*"peak_memory_bytes": \([0-9]*\).*/\1/p')
	measure "$plan" 0 "$@"
done
echo "engine memory: all below what was planned"
