// A tun whose other side is this program: it pings the kernel, and the kernel answers.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/tun-ping.mjs
import { createNamespace, fillTransportChecksum, icmp, ipVersion, ipv4, openTun } from 'netkit'

const ICMP = 1
const payload = ipv4.minimumLength

/** An IPv4 packet (RFC 791) with an ICMP echo request (RFC 792) in it. @param {number} sequence */
function echoRequest(sequence) {
  const packet = Buffer.alloc(payload + icmp.headerLength + 56)
  ipv4.setHeaderLength(packet, 0, payload)
  ipv4.setTotalLength(packet, 0, packet.length)
  ipv4.setTimeToLive(packet, 0, 64)
  ipv4.setProtocol(packet, 0, ICMP)
  ipv4.setSource(packet, 0, '10.0.4.2')
  ipv4.setDestination(packet, 0, '10.0.4.1')
  ipv4.fillChecksum(packet, 0)
  icmp.setType(packet, payload, 8)
  icmp.setSequence(packet, payload, sequence)
  fillTransportChecksum(packet, 0)
  return packet
}

const box = await createNamespace()
// The kernel's end is 10.0.4.1, ours 10.0.4.2: an address that no interface has.
const tun = await openTun({ name: 'tun%d', namespace: box, addresses: ['10.0.4.1/24'], up: true })
try {
  console.log(`The kernel has named the interface ${tun.name}.`)
  for (let sequence = 1; sequence <= 3; sequence++) {
    const start = performance.now()
    tun.write(echoRequest(sequence))
    // Of IPv6, the kernel sends a few packets on its own.
    for await (const packet of tun.iterator({ destroyOnReturn: false })) {
      const isReply =
        ipVersion(packet, 0) === 4 && ipv4.protocol(packet, 0) === ICMP && icmp.type(packet, payload) === 0
      if (!isReply || icmp.sequence(packet, payload) !== sequence) continue
      const from = ipv4.source(packet, 0)
      console.log(
        `${packet.length} bytes from ${from}: sequence ${sequence}, ${(performance.now() - start).toFixed(3)} ms`,
      )
      break
    }
  }
} finally {
  await tun.close()
  await box.delete()
}
