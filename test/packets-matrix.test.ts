/** Frames of every size cross every pair of kinds of ends, joined by a pump, whole and in order. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { createVeth } from '../dist/index.js'
import type { Namespace } from '../dist/namespace/namespace.js'
import type { PacketEnd } from '../dist/packets/end.js'
import { startPump } from '../dist/pump/pump.js'
import { openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { openPacketSocket } from '../dist/sockets/packet-socket.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { openQemuDatagram } from '../dist/sockets/qemu-datagram.js'
import { openQemuStream } from '../dist/sockets/qemu-stream.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'
import { folder } from './support/sockets.js'

const able = await needs('namespaces', 'tun')

/** The longest frame that all of them carry: what fits into a UDP datagram. */
const LONGEST = 65_507

/** Every size up to 1,600 bytes, and of those above one in 509. */
const sizes: number[] = []
for (let size = 14; size < 1600; size++) sizes.push(size)
for (let size = 1600; size < LONGEST; size += 509) sizes.push(size)
sizes.push(LONGEST, 14, LONGEST)

/** A frame of a length, of a type that nobody answers to, with content that depends on its number. */
function frameOf(number: number): Buffer {
  const length = sizes[number] as number
  const frame = Buffer.alloc(length, number & 255)
  frame.write('020000000001020000000002', 0, 'hex')
  frame.writeUInt16BE(0x88b5, 12)
  for (let i = 14; i + 4 <= length; i += 61) frame.writeUInt32BE((Math.imul(number + 1, 2654435761) + i) >>> 0, i)
  return frame
}

interface Plugged {
  /** What the pump gets. */
  plug: PacketEnd
  /** What is at the other end of its cable. */
  station: PacketEnd
}

/** Two ends of each kind, joined by what that kind is joined by. `offload`: the pump's end has it, where it can. */
const kinds: Record<string, (t: Test, namespace: Namespace, offload: boolean) => Promise<Plugged>> = {
  async tap(_t, namespace, offload) {
    const plug = await openTap({ namespace, name: `t${next()}`, mtu: 65_521, up: true, offload })
    return { plug, station: await openPacketSocket({ namespace, link: plug.link, direction: 'inbound' }) }
  },
  async 'packet socket'(_t, namespace, offload) {
    const number = next()
    const both = { mtu: 65_535, up: true, namespace }
    const [near, far] = await createVeth({ name: `p${number}`, ...both }, { name: `q${number}`, ...both })
    return {
      plug: await openPacketSocket({ namespace, link: near, direction: 'inbound', offload }),
      station: await openPacketSocket({ namespace, link: far, direction: 'inbound' }),
    }
  },
  async datagram(_t, namespace) {
    const local = { address: '127.0.0.1', port: 0 }
    const plug = await openDatagramBatch({ namespace, local })
    const station = await openDatagramBatch({ namespace, local, remote: plug.local })
    plug.remote = station.local
    return { plug, station }
  },
  async 'QEMU datagram'(t) {
    const path = await folder(t)
    const [near, far] = [join(path, 'near'), join(path, 'far')]
    return {
      plug: await openQemuDatagram({ path: near, remote: far }),
      station: await openQemuDatagram({ path: far, remote: near }),
    }
  },
  async 'QEMU stream'(t) {
    const path = join(await folder(t), 'socket')
    const plug = await openQemuStream({ path, server: true })
    const station = await openQemuStream({ path })
    if (!plug.connected) await once(plug, 'connect')
    return { plug, station }
  },
  async pair(_t, _namespace, offload) {
    const [plug, station] = createEndPair({ offload })
    return { plug, station }
  },
}

let numbers = 0
const next = () => ++numbers

/** Writes all frames to one station and reads them from the other. Not more is under way than every kind has room for. */
async function crosses(from: PacketEnd, to: PacketEnd): Promise<string> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')]
  let count = 0
  let bytes = 0
  const reader = to.onBatch((batch) => {
    for (const frame of batch) {
      // What the kernel itself sends (router solicitations) is not ours.
      if (frame.length < 14 || frame.readUInt16BE(12) !== 0x88b5) continue
      received.update(`${frame.length} `).update(frame)
      count++
      bytes += frame.length
    }
  })
  let written = 0
  for (let number = 0; number < sizes.length; ) {
    const frame = frameOf(number)
    if (number - count > 32 || written - bytes > 150_000 || from.writeBatch([frame]) === 0) {
      const before = count
      const moved = async () => {
        await turn()
        return count > before || written === bytes
      }
      if (!(await eventually(moved, 3000))) break
      continue
    }
    sent.update(`${frame.length} `).update(frame)
    written += frame.length
    number++
  }
  await eventually(() => count >= sizes.length, 3000)
  reader.close()
  if (count !== sizes.length) return `${count} frames of ${sizes.length} came`
  return received.digest('hex') === sent.digest('hex') ? 'all came' : 'they came changed, or in another order'
}

for (const offload of [false, true]) {
  for (const [fromKind, makeFrom] of Object.entries(kinds)) {
    test(`from ${fromKind} to every kind${offload ? ', with offload' : ''}`, able, async (t) => {
      const namespace = await scratch(t)
      namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
      for (const [toKind, makeTo] of Object.entries(kinds)) {
        const [from, to] = [await makeFrom(t, namespace, offload), await makeTo(t, namespace, offload)]
        const pump = startPump(from.plug, to.plug)
        t.equal(await crosses(from.station, to.station), 'all came', `${fromKind} → ${toKind}`)
        if (fromKind === toKind) t.equal(await crosses(to.station, from.station), 'all came', 'and back')
        await pump.close()
        await Promise.all([from.plug, from.station, to.plug, to.station].map((end) => end.close()))
      }
    })
  }
}
