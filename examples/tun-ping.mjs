// A tun whose other side is this program: it pings the kernel, and the kernel answers.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/tun-ping.mjs
import { createNamespace, openTun } from 'netkit'

/** The Internet checksum (RFC 1071) of an even number of bytes. @param {Buffer} bytes */
function checksum(bytes) {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** An IPv4 packet (RFC 791) with an ICMP echo request (RFC 792) in it. @param {number} sequence */
function echoRequest(sequence) {
  const packet = Buffer.alloc(20 + 8 + 56)
  packet.set([0x45, 0, 0, packet.length, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 4, 2, 10, 0, 4, 1])
  packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10)
  packet.writeUInt8(8, 20)
  packet.writeUInt16BE(sequence, 26)
  packet.writeUInt16BE(checksum(packet.subarray(20)), 22)
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
    // The first 4 bits tell IPv4 from IPv6; of IPv6, the kernel sends a few packets on its own.
    for await (const packet of tun.iterator({ destroyOnReturn: false })) {
      const isReply = packet.readUInt8(0) === 0x45 && packet.readUInt8(9) === 1 && packet.readUInt8(20) === 0
      if (!isReply || packet.readUInt16BE(26) !== sequence) continue
      const from = packet.subarray(12, 16).join('.')
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
