#!/bin/sh
# Removes what install.sh installed. Configuration and state stay, unless --purge says otherwise.
set -eu

prefix=/opt/stonechat
root=
purge=no

usage() {
    cat <<'TXT'
usage: systemd/uninstall.sh [--purge] [--prefix DIR] [--root DIR]

  --purge       also remove /etc/stonechat, the state below /var/lib, and the users
  --prefix DIR  where the program is (default /opt/stonechat)
  --root DIR    remove below DIR and run nothing of systemd

example:
  sudo systemd/uninstall.sh
TXT
}

wrong() {
    printf 'uninstall: %s\n' "$1" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --purge) purge=yes ;;
        --prefix | --root)
            [ $# -gt 1 ] || wrong "$1 needs a value"
            case $1 in
                --prefix) prefix=$2 ;;
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

if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
    printf 'uninstall: must run as root; try: sudo %s\n' "$0" >&2
    exit 1
fi

for unit in stonechat-agent.service stonechat-collector.service; do
    if [ -z "$root" ] && [ -d /run/systemd/system ] && [ -e "/etc/systemd/system/$unit" ]; then
        systemctl disable --quiet --now "$unit"
    fi
    rm -f "$root/etc/systemd/system/$unit"
done
for name in stonechat stonechat-collector; do
    rm -f "$root/usr/lib/sysusers.d/$name.conf" "$root/usr/lib/tmpfiles.d/$name.conf"
done
[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload

# Only what is a virtual environment with our command in it, whatever --prefix names.
if [ -f "$root$prefix/pyvenv.cfg" ] && [ -e "$root$prefix/bin/stonechat" ]; then
    rm -rf "$root$prefix"
fi

if [ "$purge" = yes ]; then
    rm -rf "$root/etc/stonechat" "$root/var/lib/stonechat" "$root/var/lib/stonechat-collector"
    if [ -z "$root" ]; then
        for user in stonechat stonechat-collector; do
            if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
        done
    fi
    echo "uninstall: removed, with configuration and state"
else
    echo "uninstall: removed; kept /etc/stonechat and /var/lib/stonechat* (--purge removes them)"
fi
