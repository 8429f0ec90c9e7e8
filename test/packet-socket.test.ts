/** Packet sockets on real links. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { openNamespace } from '../dist/namespace/open.js'
import type { FrameBatch } from '../dist/packets/batch.js'
import { createVeth } from '../dist/rtnetlink/create-veth.js'
import type { Link } from '../dist/rtnetlink/link.js'
import '../dist/rtnetlink/links.js'
import type { PacketSocketOptions } from '../dist/sockets/packet-options.js'
import { openPacketSocket, type PacketSocket } from '../dist/sockets/packet-socket.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame, numberOf } from './support/packets.js'
import { askProgram } from './support/program.js'
import { ipDo, scratch, uniqueName } from './support/scratch.js'

const namespaces = await needs('namespaces')

/** A veth pair in a namespace of its own, both ends up, that sends nothing by itself. */
async function quietPair(t: Test): Promise<{ namespace: Namespace; left: Link; right: Link }> {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', '1')
  const [left, right] = await createVeth({ name: 'left', namespace, up: true }, { name: 'right', namespace, up: true })
  return { namespace, left, right }
}

async function open(t: Test, options: PacketSocketOptions): Promise<PacketSocket> {
  const socket = await openPacketSocket(options)
  t.teardown(() => socket.close())
  return socket
}

/** The next `count` frames that a socket reads. */
async function take(socket: PacketSocket, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of socket.batches()) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.length >= count) break
  }
  return frames
}

function filled(number: number, length: number): Buffer {
  const frame = numberedFrame(number, length)
  for (let i = 18; i < length; i++) frame[i] = (number + i) & 0xff
  return frame
}

for (const ring of [false, true]) {
  const how = ring ? 'through a ring' : 'from the socket'
  test(`frames of every size cross a link, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    await left.set({ mtu: 9000 })
    await right.set({ mtu: 9000 })
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ring })
    const sizes = [18, 60, 64, 100, 500, 1500, 1514, 1515, 2048, 2100, 4000, 8999, 9014]
    for (let i = 0; i < 1100; i++) sizes.push(18 + ((i * 37) % 8990))
    const sent = sizes.map((size, i) => filled(i, size))
    const reading = take(receiver, sent.length)
    for (let i = 0; i < sent.length; i += 50) {
      t.equal(sender.writeBatch(sent.slice(i, i + 50)), sent.slice(i, i + 50).length)
      await delay(1)
    }
    const got = await reading
    t.equal(got.length, sent.length)
    t.equal(
      got.findIndex((frame, i) => !frame.equals(sent[i] as Buffer)),
      -1,
      'in order, and as they were',
    )
    t.match(sender.stats(), { framesWritten: sent.length, refused: 0, framesRead: 0, dropped: 0 })
    t.match(receiver.stats(), { framesRead: sent.length, truncated: 0, dropped: 0 })
  })
}

test('a stream of frames', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const sender = await open(t, { link: 'left', namespace: left.namespace })
  const receiver = await open(t, { link: right.index, namespace: right.namespace })
  t.equal(receiver.name, 'right')
  t.equal(receiver.link?.index, right.index)
  for (let i = 0; i < 100; i++) sender.write(filled(i, 60 + i))
  let number = 0
  for await (const frame of receiver) {
    t.ok(filled(number, 60 + number).equals(frame))
    if (++number === 100) break
  }
  t.ok(receiver.destroyed, 'break closes it')
})
