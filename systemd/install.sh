#!/bin/sh
# Installs Stonechat as a systemd service. Run it again to upgrade or repair: what is there already stays.
set -eu

prefix=/opt/stonechat
root=
roles=agent
start=yes
here=$(cd "$(dirname "$0")" && pwd -P)
package=$(dirname "$here")

usage() {
    cat <<'TXT'
usage: systemd/install.sh [--collector | --all] [--prefix DIR] [--package SPEC] [--no-start] [--root DIR]

  --collector     install the collector instead of the agent
  --all           install both
  --prefix DIR    where the program goes (default /opt/stonechat): a virtual environment of its own
  --package SPEC  what pip installs (default: this source tree)
  --no-start      neither enable nor start the services
  --root DIR      write below DIR and run nothing of systemd, to see what would be written

example:
  sudo systemd/install.sh
TXT
}

say() { printf 'install: %s\n' "$*"; }

die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

wrong() {
    printf 'install: %s\n' "$1" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --collector) roles=collector ;;
        --all) roles='agent collector' ;;
        --no-start) start=no ;;
        --prefix | --package | --root)
            [ $# -gt 1 ] || wrong "$1 needs a value"
            case $1 in
                --prefix) prefix=$2 ;;
                --package) package=$2 ;;
                --root) root=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) wrong "no option '$1'" ;;
    esac
    shift
done

case $prefix in /*) ;; *) wrong "--prefix must be an absolute path: $prefix" ;; esac
case $prefix in *[!A-Za-z0-9/._-]*) wrong "--prefix may hold only A-Z a-z 0-9 / . _ -: $prefix" ;; esac
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "must run as root; try: sudo $0"
[ -n "$root" ] || [ -d /run/systemd/system ] || start=no

find_python() {
    for name in python3.11 python3.12 python3.13 python3.10 python3; do
        if "$name" -c 'import sys, venv, ensurepip; ensurepip.version(); sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "Python 3.10 or later with venv is needed; on Debian and Ubuntu: apt-get install python3-venv"
}

# put FILE DIRECTORY: copies one file of ours, with the prefix written into it.
put() {
    mkdir -p "$root$2"
    sed "s|/opt/stonechat|$prefix|g" "$here/$1" >"$root$2/.stonechat-new"
    chmod 644 "$root$2/.stonechat-new"
    mv "$root$2/.stonechat-new" "$root$2/$(basename "$1")"
}

venv=$root$prefix
if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    say "making $venv with $("$python" --version)"
    mkdir -p "$(dirname "$venv")"
    "$python" -m venv "$venv"
fi
extra=
case $roles in *collector*) extra='[collector]' ;; esac
constraints=
[ ! -f "$here/../constraints.txt" ] || constraints="-c $here/../constraints.txt"
say "installing $package$extra"
# shellcheck disable=SC2086 # two words, or none
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade $constraints "$package$extra" ||
    die "pip could not install $package$extra; see above"

mkdir -p "$root/etc/stonechat"
units=
for role in $roles; do
    name=stonechat
    [ "$role" = agent ] || name=stonechat-$role
    put "sysusers.d/$name.conf" /usr/lib/sysusers.d
    put "tmpfiles.d/$name.conf" /usr/lib/tmpfiles.d
    put "stonechat-$role.service" /etc/systemd/system
    units="$units stonechat-$role.service"
    config=$root/etc/stonechat/$role.toml
    if [ ! -e "$config" ]; then
        printf '# Every key has a default, so an empty file works. The keys: docs/configure.md\n# Check it with: %s/bin/stonechat check %s\n' \
            "$prefix" "/etc/stonechat/$role.toml" >"$config"
        chmod 644 "$config"
    fi
done

if [ -n "$root" ]; then
    say "written below $root"
    exit 0
fi

systemd-sysusers /usr/lib/sysusers.d/stonechat*.conf || die "systemd-sysusers could not make the users"
systemd-tmpfiles --create /usr/lib/tmpfiles.d/stonechat*.conf || die "systemd-tmpfiles failed"
for role in $roles; do
    "$prefix/bin/stonechat" check --kind "$role" "/etc/stonechat/$role.toml" >/dev/null ||
        die "the configuration is faulty; correct it and run this again"
done
if [ "$start" = yes ]; then
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl enable --quiet $units
    # shellcheck disable=SC2086
    systemctl restart $units
    say "running:$units"
else
    say "installed, not started:$units"
fi
