# Find disks by what the inventory said of them, so that no other disk is ever written.

serial_of() {
    for file in "$1/serial" "$1/device/serial"; do
        [ -r "$file" ] && serial=$(cat "$file" 2>/dev/null) && [ -n "$serial" ] && { echo "$serial"; return; }
    done
    # The serial number page of a SCSI disk: four bytes, then the text.
    [ -r "$1/device/vpd_pg80" ] && tail -c +5 "$1/device/vpd_pg80" 2>/dev/null | tr -d '\000'
}

# find_disk SERIAL PATH BYTES: the path of the one disk that this is, or a reason and exit code 1.
find_disk() {
    found=
    for disk in /sys/block/*; do
        name=${disk##*/}
        case $name in loop*|ram*|zram*|dm-*|md*|sr*|fd*|nbd*) continue ;; esac
        told=$(serial_of "$disk" | sed 's/^ *//; s/ *$//')
        [ -z "$1" ] || [ "$told" = "$1" ] || continue
        [ -z "$2" ] || [ "/dev/$name" = "$2" ] || continue
        found="$found $name"
    done
    set -- "$1" "$2" "$3" $found
    if [ $# -ne 4 ]; then
        echo "rackwright: $(($# - 3)) disks are serial '$1' path '$2'; nothing is written" >&2
        return 1
    fi
    sectors=$(cat "/sys/block/$4/size")
    if [ "$((sectors * 512))" != "$3" ]; then
        echo "rackwright: /dev/$4 has $((sectors * 512)) bytes and not $3; nothing is written" >&2
        return 1
    fi
    echo "/dev/$4"
}
