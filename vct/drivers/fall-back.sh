#!/bin/sh
# fall-back.sh RECORD TRIAL IMAGE LOWER DISK SYSTEM UPPER …
#
# LXC's monitor runs this before each boot of a system that is on trial, in its own mount namespace,
# where nothing of the container is mounted then. The first boot is the trial. At another one, a
# reboot, RECORD tells whether the trial is over: if it is not, the system has failed it, and IMAGE
# and SYSTEM take its place, whether or not a vct is still there to see it.
set -eu
record=$1 trial=$2 image=$3 lower=$4 disk=$5 system=$6 upper=$7
[ "${LXC_TARGET:-}" = reboot ] || exit 0
grep -qx " \"trial\": $trial," "$record" || exit 0
umount -l "$lower" "${upper%/*}"
case $image in
*.squashfs) mount -t squashfs -o loop,ro "$image" "$lower" ;;
*) mount --bind "$image" "$lower" ;;
esac
mount --bind "$disk/systems/$system" "${upper%/*}"
# The node's inittab is a link into the image: the one with agent, if image and node have what it
# takes (choose_boot in vct.drivers.firmware_files). The trial may have lacked it.
node=${disk%/*}/node
target=$(readlink "$node/inittab")
wanted=${target%.agent}
if [ -e "$node/confine/node.json" ] &&
	{ [ -e "$lower$wanted.agent" ] || [ -L "$lower$wanted.agent" ]; }; then
	wanted=$wanted.agent
fi
[ "$wanted" = "$target" ] || ln -sfn "$wanted" "$node/inittab"
