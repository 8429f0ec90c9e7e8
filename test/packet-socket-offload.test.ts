/** Packet sockets and what the kernel has not cut yet: TCP through two of them, with and without offload headers. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import type { PacketEnd } from '../dist/packets/end.js'
import { isOffloadFrame } from '../dist/packets/offload-header.js'
import { createVeth } from '../dist/rtnetlink/create-veth.js'
import '../dist/rtnetlink/links.js'
import type { PacketSocketOptions } from '../dist/sockets/packet-options.js'
import { openPacketSocket } from '../dist/sockets/packet-socket.js'
import { openTap } from '../dist/tuntap/tap.js'
import { needs } from './support/needs.js'
import { checksum } from './support/packets.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const tun = await needs('namespaces', 'tun')

/** A host with a link to a place between hosts, where a packet socket is. */
async function host(t: Test, number: number, options: Partial<PacketSocketOptions>) {
  const [namespace, between] = [await scratch(t), await scratch(t)]
  between.sysctl.set('net.ipv6.conf.default.disable_ipv6', '1')
  const [, outer] = await createVeth(
    {
      name: 'host',
      namespace,
      up: true,
      addresses: [`10.0.3.${number}/24`, { address: `fd03::${number}/64`, noDad: true }],
    },
    { name: 'outer', namespace: between, up: true },
  )
  const end = await openPacketSocket({ link: outer, ...options })
  t.teardown(() => end.close())
  return { namespace, end }
}

async function tapHost(t: Test, number: number, offload: boolean) {
  const namespace = await scratch(t)
  const end = await openTap({
    namespace,
    offload,
    up: true,
    addresses: [`10.0.3.${number}/24`, { address: `fd03::${number}/64`, noDad: true }],
  })
  t.teardown(() => end.close())
  return { namespace, end }
}

/** The one's complement sum over what TCP's checksum covers: 0 when it is right. */
function tcpSum(packet: Buffer): number {
  const six = (packet[0] as number) >> 4 === 6
  const start = six ? 40 : ((packet[0] as number) & 15) * 4
  const length = six ? packet.readUInt16BE(4) : packet.readUInt16BE(2) - start
  const pseudo = Buffer.alloc(4)
  pseudo.writeUInt16BE(length, 2)
  const addresses = six ? packet.subarray(8, 40) : packet.subarray(12, 20)
  return checksum(
    Buffer.concat([addresses, Buffer.from([0, 6]), pseudo.subarray(2), packet.subarray(start, start + length)]),
  )
}

interface Seen {
  long: number
  headers: number
  wrong: number
}

/** Forwards all frames, and looks at them. */
function forward(from: PacketEnd, to: PacketEnd, seen: Seen): void {
  from.onBatch((batch) => {
    for (let i = 0; i < batch.length; i++) {
      const frame = batch.frame(i)
      if (frame.length > 1514) seen.long++
      if (isOffloadFrame(frame) || batch.header(i) !== undefined) {
        seen.headers++
        continue
      }
      const type = frame.readUInt16BE(12)
      const protocol = type === 0x0800 ? frame[23] : type === 0x86dd ? frame[20] : 0
      if (protocol === 6 && tcpSum(frame.subarray(14)) !== 0) seen.wrong++
    }
    if (!to.destroyed) to.writeBatch(batch)
  })
}

/** Sends bytes over TCP and compares their hash. */
async function transfer(t: Test, from: Namespace, to: Namespace, address: string, size: number): Promise<void> {
  const server = await to.listen({ host: address, port: 5000 })
  const received = createHash('sha256')
  const done = new Promise<string>((resolve, reject) => {
    server.on('connection', (socket) => {
      socket.on('data', (data) => received.update(data))
      socket.on('end', () => resolve(received.digest('hex')))
      socket.on('error', reject)
    })
  })
  const client = await from.connect({ host: address, port: 5000 })
  const sent = createHash('sha256')
  const piece = Buffer.alloc(256 * 1024)
  for (let i = 0; i < piece.length; i++) piece[i] = (i * 7) ^ (i >> 8)
  for (let left = size; left > 0; left -= piece.length) {
    piece.writeUInt32BE(left)
    const copy = Buffer.from(piece)
    sent.update(copy)
    if (!client.write(copy)) await once(client, 'drain')
  }
  client.end()
  t.equal(await done, sent.digest('hex'), `TCP to ${address}`)
  client.destroy()
  server.close()
}

for (const offload of [
  [false, false],
  [true, true],
  [true, false],
]) {
  for (const ring of [false, { timeout: 1 }]) {
    const words = offload.map((on) => (on ? 'offload' : 'plain')).join(' and ')
    test(`TCP between two packet sockets, ${words}${ring ? ', rings' : ''}`, namespaces, async (t) => {
      const left = await host(t, 1, { offload: offload[0] as boolean, ring })
      const right = await host(t, 2, { offload: offload[1] as boolean, ring })
      const seen = [left, right].map(() => ({ long: 0, headers: 0, wrong: 0 })) as [Seen, Seen]
      forward(left.end, right.end, seen[0])
      forward(right.end, left.end, seen[1])
      await transfer(t, left.namespace, right.namespace, '10.0.3.2', 8 << 20)
      await transfer(t, right.namespace, left.namespace, 'fd03::1', 8 << 20)
      for (const [i, { long, headers, wrong }] of seen.entries()) {
        t.equal(wrong, 0, 'no wrong checksum')
        if (offload[i]) t.ok(long > 10 && headers > 10, `${long} long frames, ${headers} with headers`)
        else t.match({ long, headers }, { long: 0, headers: 0 })
      }
      // A ring is smaller than what TCP may have under way.
      const lost = ring ? {} : { dropped: 0 }
      for (const end of [left.end, right.end]) t.match(end.stats(), { refused: 0, truncated: 0, ...lost })
    })
  }
}

for (const [onTap, onSocket] of [
  [true, false],
  [false, true],
] as const) {
  const words = `a ${onTap ? 'tap with offload' : 'plain tap'} and a ${onSocket ? 'packet socket with it' : 'plain packet socket'}`
  test(`TCP between ${words}`, tun, async (t) => {
    const left = await tapHost(t, 1, onTap)
    const right = await host(t, 2, { offload: onSocket })
    const seen = { long: 0, headers: 0, wrong: 0 }
    forward(left.end, right.end, seen)
    forward(right.end, left.end, seen)
    await transfer(t, left.namespace, right.namespace, '10.0.3.2', 4 << 20)
    await transfer(t, right.namespace, left.namespace, 'fd03::1', 4 << 20)
    t.equal(seen.wrong, 0)
    t.equal(left.end.stats().refused + right.end.stats().refused, 0)
  })
}
