#!/bin/bash
# Tells the rack that a system is installed (`installed`, said by an installer at its end), or that it runs from its own
# disk for the first time (`home`, said by systemd at every start until it has been heard). It needs bash only.
set -u
settings=${RACKWRIGHT_SETTINGS:-/etc/rackwright/first-boot.env}
root=${RACKWRIGHT_ROOT:-}
. "$settings"

# ask METHOD PATH [BODY]: one request to the door, HTTP/1.0 so that nothing comes in chunks; the answer's body goes to
# standard output. Fails unless the status is 2xx.
ask() {
    local address=${door#http://} host port status line
    address=${address%%/*}
    port=${address##*:}
    host=${address%:*}
    [ "$port" = "$address" ] && port=80
    [ "$port" = 80 ] && host=$address
    host=${host#[}
    host=${host%]}
    exec 3<>"/dev/tcp/$host/$port" || return 1
    {
        printf '%s %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\n' "$1" "$2" "$address" "$token"
        if [ $# -gt 2 ]; then
            printf 'Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "$(LC_ALL=C; echo ${#3})" "$3"
        else
            printf '\r\n'
        fi
    } >&3
    IFS=' ' read -r -t 60 _ status _ <&3 || return 1
    while IFS= read -r -t 60 line <&3 && [ -n "${line%$'\r'}" ]; do :; done
    cat <&3
    exec 3>&-
    case $status in 2*) return 0 ;; *) echo "rackwright: the rack answered $status" >&2; return 1 ;; esac
}

# quoted TEXT: a JSON string.
quoted() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\t'/ }
    printf '"%s"' "${text//[[:cntrl:]]/}"
}

# of_release NAME: a value of os-release(5).
of_release() {
    sed -n "s/^$1=//p" "$root/etc/os-release" 2>/dev/null | sed "s/^[\"']//; s/[\"']\$//" | head -n 1
}

greeting() {
    local keys='' file
    for file in "$root"/etc/ssh/ssh_host_*_key.pub; do
        [ -r "$file" ] && keys="$keys${keys:+,}$(quoted "$(cat "$file")")"
    done
    printf '{"request":%s,"hostname":%s,"boot_id":%s,"ssh_host_keys":[%s],' \
        "$(quoted "$request")" "$(quoted "$(hostname)")" "$(quoted "$(cat /proc/sys/kernel/random/boot_id)")" "$keys"
    printf '"os":{"id":%s,"version":%s,"name":%s,"kernel":%s}}' "$(quoted "$(of_release ID)")" \
        "$(quoted "$(of_release VERSION_ID)")" "$(quoted "$(of_release PRETTY_NAME)")" "$(quoted "$(uname -r)")"
}

# Once: what an image does not bring by itself.
prepare() {
    if ! ls "$root"/etc/ssh/ssh_host_*_key.pub >/dev/null 2>&1 && command -v ssh-keygen >/dev/null; then
        ssh-keygen -A && systemctl try-restart ssh.service sshd.service 2>/dev/null
    fi
    if [ -n "${user:-}" ] && ! id "$user" >/dev/null 2>&1; then
        useradd --create-home --shell /bin/bash "$user"
        install -d -m 0700 -o "$user" "/home/$user/.ssh"
        install -m 0600 -o "$user" /etc/rackwright/authorized_keys "/home/$user/.ssh/authorized_keys"
        install -d -m 0750 /etc/sudoers.d
        printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$user" >"/etc/sudoers.d/rackwright"
    fi
}

# The node's agent, where there is a Python to run it.
install_agent() {
    command -v python3 >/dev/null || return 0
    mkdir -p "$root/usr/local/lib/rackwright"
    ask GET /agent/archive >"$root/usr/local/lib/rackwright/agent.new" || return 1
    [ -s "$root/usr/local/lib/rackwright/agent.new" ] || return 1
    mv "$root/usr/local/lib/rackwright/agent.new" "$root/usr/local/lib/rackwright/agent.pyz"
    [ -n "$root" ] || systemctl enable --now rackwright-agent.service
}

# insist COMMAND...: again and again, with a longer pause each time, until it is done.
insist() {
    local pause=1
    until "$@"; do
        sleep "${RACKWRIGHT_PAUSE:-$pause}"
        pause=$((pause < 60 ? pause * 2 : 60))
    done
}

case ${1:-} in
installed)
    for try in 1 2 3 4 5; do
        ask POST /agent/installed "{\"request\":$(quoted "$request")}" && exit 0
        sleep "${RACKWRIGHT_PAUSE:-$((try * 2))}"
    done
    exit 1
    ;;
home)
    [ -n "$root" ] || prepare
    tell() { ask POST /agent/home "$(greeting)"; }
    insist tell
    insist install_agent
    mkdir -p "$root/var/lib/rackwright" && : >"$root/var/lib/rackwright/at-home"
    ;;
*)
    echo "usage: rackwright-first-boot installed|home" >&2
    exit 2
    ;;
esac
