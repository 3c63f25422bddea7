#!/bin/sh
# start-container.sh DISK_IMAGE DISK IMAGE LOWER BELOW LXC_PATH NAME ROOT INIT UPPER SYSTEM KEPT
#
# Runs in a mount namespace of its own, which the container's monitor inherits: the disk, and an
# image that is a file, are mounted there and nowhere else, so they go, with their loop devices,
# when the monitor goes, however that happens. Root and init are given once more on the command
# line: LXC without a root file system would boot the host's init on the host's files. For the same
# reason the init has to be in one of the layers: one that is there is no proof, one that is not is.
#
# SYSTEM, if any, is the number of the system on a node's disk, KEPT those that stay on it. A LOWER
# or UPPER that is not where the image or the system is, is where they are mounted once more: so
# that fall-back.sh can exchange them.
set -eu
disk_image=$1 disk=$2 image=$3 lower=$4 below=$5 lxc_path=$6 name=$7 root=$8 init=$9
shift 9
upper=$1 system=$2 kept=$3
refuse() {
	echo "$1" >&2
	exit 9
}
case $lower,$disk in /?*,/?*) ;; *) refuse "no layers: '$lower', '$disk'" ;; esac
case $upper in "$disk"/?* | "${disk%/*}"/trial/?*) ;; *) refuse "no writable layer: '$upper'" ;; esac
[ "$root" = "overlay:$lower${below:+:$below}:$upper" ] || refuse "no root file system: '$root'"
case $init in /etc/vct/?*) ;; *) refuse "not an init of vct's images: '$init'" ;; esac
case $system in *[!0-9]*) refuse "not a system's number: '$system'" ;; esac
[ -d "$disk" ] || mkdir -p "$disk" # asked first: a process less for every node that starts
mount -o loop,noatime "$disk_image" "$disk"
layer=$disk/delta
if [ "$system" ]; then
	if [ -d "$disk/delta" ] && [ ! -d "$disk/systems/1/upper" ]; then
		# Older versions of vct knew one system only.
		mkdir -p "$disk/systems/1"
		mv "$disk/delta" "$disk/systems/1/upper"
		rm -rf "$disk/work"
	fi
	for old in "$disk"/systems/*; do
		case " $kept " in *" ${old##*/} "*) ;; *) rm -rf "$old" ;; esac
	done
	layer=$disk/systems/$system/upper
fi
if [ ! -d "$layer" ] || { [ "$system" ] && [ ! -d "$disk/persist" ]; }; then
	# Whatever the umask: one is the root. On a full disk a node starts without /persist.
	(umask 022 && mkdir -p "$layer" ${system:+"$disk/persist"}) || [ -d "$layer" ]
fi
if [ "$lower" != "$image" ]; then
	[ -d "$lower" ] || mkdir -p "$lower"
	case $image in
	*.squashfs) mount -t squashfs -o loop,ro "$image" "$lower" ;;
	*) mount --bind "$image" "$lower" ;;
	esac
fi
if [ "$upper" != "$layer" ]; then
	mkdir -p "${upper%/*}"
	mount --bind "${layer%/*}" "${upper%/*}"
fi
for layer in "$lower" ${below:+"$below"}; do
	# Not followed: a link in an image is meant for the container's inside.
	if [ -L "$layer$init" ] || [ -e "$layer$init" ]; then
		exec lxc-start --lxcpath="$lxc_path" --name="$name" \
			--define="lxc.rootfs.path=$root" --define="lxc.init.cmd=$init"
	fi
done
refuse "$image is not a vct image: it has no $init"
