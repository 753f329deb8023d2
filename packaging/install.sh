#!/bin/sh
# Installs coldchain from this directory, or removes it again:
#
#     ./install.sh [--prefix DIR] [--remove]
#
# DIR is /usr/local unless given. $DESTDIR goes before every path, for those who make packages. Removing keeps config, state
# directory and recovery kit. The units and their completions are for systemd, bash, zsh and fish, if they are there.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=/usr/local
remove=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix) prefix=$2; shift 2 ;;
    --remove) remove=yes; shift ;;
    *) echo "install.sh: unknown word: $1; usage: ./install.sh [--prefix DIR] [--remove]" >&2; exit 2 ;;
    esac
done
case $prefix in /*) ;; *) echo "install.sh: --prefix takes an absolute path" >&2; exit 2 ;; esac
to=${DESTDIR:-}$prefix

# MODE, FILE and DESTINATION of each installed file.
each_file() {
    "$1" 755 "$here/coldchain" "$to/bin/coldchain"
    for page in "$here"/man/*; do
        section=${page%.gz}
        section=${section##*.}
        "$1" 644 "$page" "$to/share/man/man$section/${page##*/}"
    done
    "$1" 644 "$here/completions/coldchain.bash" "$to/share/bash-completion/completions/coldchain"
    "$1" 644 "$here/completions/_coldchain" "$to/share/zsh/site-functions/_coldchain"
    "$1" 644 "$here/completions/coldchain.fish" "$to/share/fish/vendor_completions.d/coldchain.fish"
    "$1" 644 "$here/config.toml" "$to/share/doc/coldchain/config.toml"
    "$1" 644 "$here/README.md" "$to/share/doc/coldchain/README.md"
    for unit in "$here"/systemd/*; do
        "$1" 644 "$unit" "$to/lib/systemd/system/${unit##*/}"
    done
}

put() {
    mkdir -p "$(dirname "$3")"
    # A new file beside it, and a rename: a program that runs is not written into.
    case $3 in
    */lib/systemd/system/*) sed "s|/usr/bin/coldchain|$prefix/bin/coldchain|" "$2" >"$3.new" ;;
    *) cp "$2" "$3.new" ;;
    esac
    chmod "$1" "$3.new"
    mv -f "$3.new" "$3"
}

delete() {
    rm -f "$3"
}

reload() {
    if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

if [ -n "$remove" ]; then
    if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then
        systemctl --quiet disable --now coldchain.timer coldchain-verify.timer 2>/dev/null || true
    fi
    each_file delete
    reload
    echo "removed; /etc/coldchain, /var/lib/coldchain and the recovery kit are kept"
else
    command -v btrfs >/dev/null || [ -x /sbin/btrfs ] ||
        echo "install.sh: btrfs is missing: install btrfs-progs 5.15 or newer" >&2
    each_file put
    if [ "$(id -u)" -eq 0 ] && [ -z "${DESTDIR:-}" ]; then
        [ -d /var/lib/coldchain ] || { mkdir -p /var/lib/coldchain && chmod 700 /var/lib/coldchain; }
    fi
    reload
    echo "installed in $prefix; run \`$prefix/bin/coldchain init\` to begin"
fi
