#!/bin/sh
# Install the build dependencies that are missing (Debian, Ubuntu). Does nothing, and needs no rights, when all are there.
set -eu
missing=
need() { # need PACKAGE TEST...: when the test fails the package is missing
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
header() { echo "#include <$1>" | cc -x c -E - >/dev/null 2>&1; }

need gcc sh -c 'command -v cc'
need make sh -c 'command -v make'
need libc6-dev header stdio.h
need libxxhash-dev header xxhash.h
need zlib1g-dev header zlib.h
need libpcre2-dev sh -c 'echo "#include <pcre2.h>" | cc -DPCRE2_CODE_UNIT_WIDTH=8 -x c -E -'
need libutf8proc-dev header utf8proc.h
need libopenblas-dev header cblas.h
[ -z "$missing" ] && exit 0

echo "installing:$missing"
if ! command -v apt-get >/dev/null; then
	echo "please install the equivalents of:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
