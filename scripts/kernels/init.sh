#!/bin/busybox sh
# The first process of a guest (initramfs.mjs packs it): mounts the host's tree, read-only below a layer of memory, runs /command
# in it as root, tells its exit code and powers off. /settings says where the kernel's modules are.
#
# This shell keeps the initramfs as its root, and so do the kernel's own helpers: /bin/modprobe is busybox's, and loads what the
# kernel asks for ("rtnl-link-vlan") without anything of the host. The command has the host's tree as its root in earnest, not by
# chroot alone: in a chroot nobody may make a user namespace.
/bin/busybox mkdir -p /proc /sys /dev /host /memory /root /lib
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
. /settings

for module in /modules/*; do
  insmod "$module" || echo "netkit: $module was not loaded" >/dev/kmsg
done

# The device of a port of the virtio console, by its name on QEMU's command line.
port() {
  for folder in /sys/class/virtio-ports/*; do
    [ "$(cat "$folder/name" 2>/dev/null)" = "$1" ] && echo "/dev/${folder##*/}"
  done
}
tries=0
while [ -z "$(port exit)" ] && [ $tries -lt 500 ]; do
  tries=$((tries + 1))
  sleep 0.02
done
output=$(port output)
exit=$(port exit)
results=$(port results)

give_up() {
  echo "$1" >"$output"
  echo 125 >"$exit"
  poweroff -f
}

mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /host || give_up 'the host'\''s tree cannot be mounted'
mount -t tmpfs memory /memory
mkdir /memory/upper /memory/work /memory/tree
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work,redirect_dir=off overlay /memory/tree ||
  give_up 'no layer can be put over the host'\''s tree'
# Seen from the initramfs, /lib/modules is the host's folder; seen from the command, it is mounted.
ln -s "/host$modules" /lib/modules
echo /bin/modprobe >/proc/sys/kernel/modprobe
modprobe tun

tree=/memory/tree
for folder in proc sys dev; do mount --move /$folder $tree/$folder; done
mkdir -p $tree/dev/pts $tree/dev/shm $tree/lib/modules
mount -t devpts devpts $tree/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $tree/dev/shm
mount -t tmpfs -o mode=755 tmpfs $tree/run
mount -t tmpfs -o mode=755 tmpfs $tree/lib/modules
mkdir "$tree/lib/modules/$(uname -r)"
mount --bind "/host$modules/$(uname -r)" "$tree/lib/modules/$(uname -r)"
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "/proc/self/${link#*:}" "$tree/dev/${link%:*}"; done
cp /command $tree/run/netkit-command
hostname "linux-$(uname -r | cut -d. -f1-2)"
ifconfig lo up

# Over the root of this mount namespace; this shell's own root stays what it was.
cd $tree
mount --move . /
NETKIT_RESULTS=$results chroot . /bin/sh /run/netkit-command <./dev/null >".$output" 2>&1
echo $? >".$exit"
poweroff -f
