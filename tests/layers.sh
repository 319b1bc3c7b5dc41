#!/bin/sh
# A folder includes only folders to its left: base < quant < formats < calib < convert; nobody includes tests or samples.
set -eu
bad=0
check() { # check FOLDER FORBIDDEN-FOLDERS-REGEX
	if grep -rnE "^#include \"($2)/" --include='*.c' --include='*.h' "$1"; then
		bad=1
	fi
}
check base 'quant|formats|calib|convert|tests|samples'
check quant 'formats|calib|convert|tests|samples'
check formats 'calib|convert|tests|samples'
if [ -d calib ]; then check calib 'convert|tests|samples'; fi
check convert 'tests|samples'
# Only the program may print or exit.
if grep -nE '\b(printf|puts|putchar|perror|exit|abort)\(|fprintf\(std(out|err)' $(ls base/*.c quant/*.c quant/*/*.c formats/*.c formats/*/*.c calib/*.c convert/*.c 2>/dev/null |
	grep -vE '^convert/(main|cli|cmd_[a-z_]*)\.c$'); then
	bad=1
fi
[ $bad = 0 ] || { echo 'layers: the lines above break the rule' >&2; exit 1; }
echo 'layers: ok'
