#!/bin/sh
# A new kernel is started from the boot partition; of mirrored disks each has one.
set -e
identity=$(awk '$2 == "/boot/efi" { print $1 }' /etc/fstab)
for device in $(blkid -o device -t "$identity"); do
  folder=$(mktemp -d)
  mount "$device" "$folder"
  cp "/boot/vmlinuz-$1" "$folder/vmlinuz"
  [ ! -f "/boot/initrd.img-$1" ] || cp "/boot/initrd.img-$1" "$folder/initrd.img"
  umount "$folder"
  rmdir "$folder"
done
