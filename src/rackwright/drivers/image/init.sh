#!/bin/busybox sh
# The first process of the discovery and the rescue system: devices, drivers, an address, then the agent for good.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd
say() { echo "rackwright: $*"; }
say "init at $(cut -d' ' -f1 /proc/uptime) s"

mac="" system="" shell="" ip=""
for word in $(cat /proc/cmdline); do
  case $word in
    rackwright.mac=*) mac=${word#*=} ;;
    BOOTIF=*) [ -n "$mac" ] || mac=$(echo "${word#BOOTIF=01-}" | tr - :) ;;
    rackwright.system=*) system=${word#*=} ;;
    rackwright.shell) shell=yes ;;
    rackwright.ip=*) ip=${word#*=} ;;
  esac
done
mac=$(echo "$mac" | tr A-F a-f)

# The second list comes with the ramdisk for volumes and mirrors.
for list in /lib/modules/always /lib/modules/storage; do
  [ -f $list ] || continue
  while read -r module; do
    insmod "/lib/modules/$module.ko" 2>/dev/null || say "module $module was not loaded"
  done <$list
done
if [ -f /lib/modules/lookup ]; then
  # Twice: some devices show only once the driver of what carries them is there.
  for round in 1 2; do
    find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u | xargs -n 50 modprobe -qa 2>/dev/null
    [ $round = 2 ] || sleep 1
  done
fi
[ -d /sys/firmware/efi ] && mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null

interfaces() {
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    [ -z "$mac" ] || [ "$(cat "$path/address")" = "$mac" ] || continue
    basename "$path"
  done
}
address() {
  for interface in $(interfaces); do
    ip link set "$interface" up
    if [ -n "$ip" ]; then ip addr add "$ip" dev "$interface" && return 0; fi
    udhcpc -i "$interface" -s /etc/udhcpc -n -t 6 -T 1 -A 1 >/dev/null && return 0
  done
  return 1
}
ip link set lo up
tries=0
until address; do
  tries=$((tries + 1))
  say "no address yet (try $tries)"
  # The interface that it booted from may be gone: any other that has a rack behind it will do.
  [ $tries -lt 5 ] || mac=""
  sleep 1
done
say "address at $(cut -d' ' -f1 /proc/uptime) s: $(ip -4 -o addr show scope global | tr -s ' ' | cut -d' ' -f2,4)"

# Someone who presses the power button wants the machine off (an event has 24 bytes: struct input_event).
for event in /sys/class/input/event*; do
  [ "$(cat "$event/device/name" 2>/dev/null)" = "Power Button" ] || continue
  (dd if="/dev/input/$(basename "$event")" of=/dev/null bs=24 count=1 2>/dev/null && sync && poweroff -f) &
done

if [ "$system" = rescue ]; then /bin/rescue & fi
if [ -n "$shell" ]; then
  (while true; do setsid cttyhack sh; done) &
fi
while true; do
  python3 -I -S -B -c "import sys; sys.path.insert(0, '/usr/lib/rackwright'); from rackwright.agent.__main__ import main; sys.exit(main())"
  say "the agent ended ($?); it is started again"
  sleep 2
done
