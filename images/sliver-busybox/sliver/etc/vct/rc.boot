# What a sliver needs before its services; read by init.
mount -t tmpfs -o mode=755,nosuid,nodev,size=16m run /run
[ ! -s /etc/hostname ] || hostname -F /etc/hostname
mkdir -p /run/network
ifup -a
