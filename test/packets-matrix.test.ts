/** Frames of every size cross every pair of kinds of ends, joined by a pump, whole and in order. */
import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import type { PacketEnd } from '../dist/packets/end.js'
import { startPump } from '../dist/pump/pump.js'
import { eventually } from './support/counting.js'
import { endKinds } from './support/end-kinds.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'

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
  for (const [fromKind, makeFrom] of Object.entries(endKinds)) {
    test(`from ${fromKind} to every kind${offload ? ', with offload' : ''}`, able, async (t) => {
      const namespace = await scratch(t)
      namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
      for (const [toKind, makeTo] of Object.entries(endKinds)) {
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
