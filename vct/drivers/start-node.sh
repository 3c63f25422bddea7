#!/bin/sh
# start-node.sh DISK_IMAGE DISK LXC_PATH NAME ROOT INIT
#
# Runs in a mount namespace of its own, which the container's monitor inherits: the node's disk is
# mounted there and nowhere else, so it goes, with its loop device, when the monitor goes, however
# that happens. Root and init are given once more on the command line: LXC without a root file
# system would boot the host's init on the host's files.
set -eu
image=$1 disk=$2 lxc_path=$3 name=$4 root=$5 init=$6
case $root in overlay:/?*:/?*) ;; *) echo "no root file system: '$root'" >&2; exit 9 ;; esac
mount -o loop,noatime "$image" "$disk"
mkdir -p "$disk/delta"
exec lxc-start --lxcpath="$lxc_path" --name="$name" \
  --define="lxc.rootfs.path=$root" --define="lxc.init.cmd=$init"
