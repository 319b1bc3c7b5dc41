#!/bin/sh
# Cross builds: cross.sh ARCH BUILD PROGRAM... makes BUILD/PROGRAM for Debian's ARCH (arm64, s390x) and leaves BUILD/run, which runs a program of
# that machine. The libraries are taken from the distribution's packages into BUILD/root; nothing of this system changes but for the compiler and
# qemu-user, which are installed when they are missing.
set -eu
arch=$1
build=$2
shift 2
case $arch in
arm64) machine=aarch64 ;;
s390x) machine=s390x ;;
*)
	echo "cross: unknown architecture '$arch'" >&2
	exit 1
	;;
esac
triple=$machine-linux-gnu
mkdir -p "$build"
build=$(cd "$build" && pwd)
root=$build/root

if ! command -v "$triple-gcc" >/dev/null || ! command -v "qemu-$machine" >/dev/null; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "gcc-$triple" "libc6-dev-$arch-cross" qemu-user >/dev/null
fi

# A package list of its own: the packages of a foreign architecture that is not this system's.
fetch() {
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/debs"
	set -- -qq -o "APT::Architectures=$arch" -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root
	apt-get "$@" update
	(
		cd "$root/debs"
		for package in libxxhash-dev libxxhash0 zlib1g-dev libpcre2-dev libpcre2-8-0 libutf8proc-dev 'libutf8proc[0-9]*' libopenblas-pthread-dev \
			libopenblas0-pthread libgfortran5; do
			case $package in
			*\*) package=$(apt-cache "$@" pkgnames libutf8proc | grep -x 'libutf8proc[0-9]*' | tail -n 1) ;;
			esac
			apt-get "$@" download "$package:$arch"
		done
		for package in *.deb; do dpkg -x "$package" "$root"; done
	)
	rm -rf "$root/lists" "$root/cache" "$root/debs"
	touch "$root/complete"
}
[ -f "$root/complete" ] || fetch

lib=$root/usr/lib/$triple
include=$root/usr/include
for program; do set -- "$@" "$build/$program" && shift; done
make -j"$(nproc)" BUILD="$build" CC="$triple-gcc" AR="$triple-ar" \
	CFLAGS="${CFLAGS:--O2} -I$include -I$include/$triple -I$include/$triple/openblas-pthread" \
	LDFLAGS="-L$lib/openblas-pthread -L$lib -Wl,--disable-new-dtags,-rpath,$lib/openblas-pthread:$lib:$root/lib/$triple" "$@"
printf '#!/bin/sh\nexec qemu-%s -L /usr/%s "$@"\n' "$machine" "$triple" >"$build/run"
chmod +x "$build/run"
