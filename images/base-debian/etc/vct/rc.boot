#!/bin/sh
# What a container needs before its services, and nothing else. Images add their parts in boot.d;
# this shell reads them in order.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755,nosuid,nodev,size=64m run /run
mkdir -m 1777 /run/lock
: >/run/utmp # init and halt keep the runlevel in it
mkdir -m 1777 /dev/shm 2>/dev/null && mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
read -r flags </sys/class/net/lo/flags
[ $((flags & 1)) -eq 1 ] || ip link set lo up
for part in /etc/vct/boot.d/*; do
	[ ! -f "$part" ] || . "$part"
done
