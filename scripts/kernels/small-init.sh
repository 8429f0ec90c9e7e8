#!/bin/busybox sh
# The first process of a small guest (small-guest.mjs packs it): loads virtio-net, and then obeys the first port of a
# virtio console: each line is a command, whose output comes back, and then a line with its exit code. On the kernel's command line,
# address=ADDRESS/LENGTH and ping=ADDRESS do the usual things without such a port, and the guest powers off.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin

for module in /modules/*; do
  insmod "$module" || echo "netkit: $module was not loaded" >/dev/kmsg
done
tries=0
while [ ! -e /sys/class/net/eth0 ] && [ $tries -lt 500 ]; do
  tries=$((tries + 1))
  sleep 0.02
done
ip link set lo up
ip link set eth0 up

for word in $(cat /proc/cmdline); do
  case $word in
    address=*) address=${word#*=} ;;
    ping=*) ping=${word#*=} ;;
  esac
done
[ -z "$address" ] || ip address add "$address" dev eth0
if [ -n "$ping" ]; then
  tries=0
  until ping -c 1 -W 1 "$ping" >/dev/null || [ $tries -ge 60 ]; do tries=$((tries + 1)); done
  ping -c 3 -i 0.2 -W 2 "$ping"
  poweroff -f
fi

# Not a serial port: QEMU's loses what comes while the guest is slow.
tries=0
while [ ! -e /dev/vport0p1 ] && [ $tries -lt 500 ]; do
  tries=$((tries + 1))
  sleep 0.02
done
exec 3<>/dev/vport0p1
echo '=end= 0' >&3
while read -r line <&3; do
  eval "$line" >/tmp/output 2>&1 </dev/null
  code=$?
  cat /tmp/output >&3
  echo "=end= $code" >&3
done
poweroff -f
