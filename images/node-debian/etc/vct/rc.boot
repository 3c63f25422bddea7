#!/bin/sh
# What a node needs before sshd, and nothing else: the network was made outside, before init.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755,nosuid,nodev,size=16m run /run
mkdir -m 1777 /run/lock
mkdir /run/sshd /run/network
: >/run/utmp # init and halt keep the runlevel in it
read -r flags </sys/class/net/lo/flags
[ $((flags & 1)) -eq 1 ] || ip link set lo up
. /etc/default/ssh
