#!/bin/sh
# start-container.sh DISK_IMAGE DISK IMAGE LOWER BELOW LXC_PATH NAME ROOT INIT
#
# Runs in a mount namespace of its own, which the container's monitor inherits: the disk, and an
# image that is a file, are mounted there and nowhere else, so they go, with their loop devices,
# when the monitor goes, however that happens. Root and init are given once more on the command
# line: LXC without a root file system would boot the host's init on the host's files. For the same
# reason the init has to be in one of the layers: one that is there is no proof, one that is not is.
set -eu
disk_image=$1 disk=$2 image=$3 lower=$4 below=$5 lxc_path=$6 name=$7 root=$8 init=$9
refuse() {
	echo "$1" >&2
	exit 9
}
case $lower,$disk in /?*,/?*) ;; *) refuse "no layers: '$lower', '$disk'" ;; esac
[ "$root" = "overlay:$lower${below:+:$below}:$disk/delta" ] || refuse "no root file system: '$root'"
case $init in /etc/vct/?*) ;; *) refuse "not an init of vct's images: '$init'" ;; esac
[ -d "$disk" ] || mkdir -p "$disk" # asked first: a process less for every node that starts
mount -o loop,noatime "$disk_image" "$disk"
[ -d "$disk/delta" ] || mkdir -m 755 "$disk/delta" # whatever the umask: it is the root
if [ "$lower" != "$image" ]; then
	[ -d "$lower" ] || mkdir -p "$lower"
	mount -t squashfs -o loop,ro "$image" "$lower"
fi
for layer in "$lower" ${below:+"$below"}; do
	# Not followed: a link in an image is meant for the container's inside.
	if [ -L "$layer$init" ] || [ -e "$layer$init" ]; then
		exec lxc-start --lxcpath="$lxc_path" --name="$name" \
			--define="lxc.rootfs.path=$root" --define="lxc.init.cmd=$init"
	fi
done
refuse "$image is not a vct image: it has no $init"
