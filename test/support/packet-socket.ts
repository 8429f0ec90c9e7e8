/** Packet sockets on a veth pair, and what they read. */
import type { Test } from 'tap'
import type { Namespace } from '../../dist/namespace/namespace.js'
import type { PacketEnd } from '../../dist/packets/end.js'
import { createVeth } from '../../dist/rtnetlink/create-veth.js'
import type { Link } from '../../dist/rtnetlink/link.js'
import '../../dist/rtnetlink/links.js'
import type { PacketSocketOptions } from '../../dist/sockets/packet-options.js'
import { openPacketSocket, type PacketSocket } from '../../dist/sockets/packet-socket.js'
import { numberedFrame } from './packets.js'
import { scratch } from './scratch.js'

/** A veth pair in a namespace of its own, both ends up, that sends nothing by itself. */
export async function quietPair(t: Test): Promise<{ namespace: Namespace; left: Link; right: Link }> {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', '1')
  const [left, right] = await createVeth({ name: 'left', namespace, up: true }, { name: 'right', namespace, up: true })
  return { namespace, left, right }
}

/** A packet socket that is closed with the test. */
export async function open(t: Test, options: PacketSocketOptions): Promise<PacketSocket> {
  const socket = await openPacketSocket(options)
  t.teardown(() => socket.close())
  return socket
}

/** The next `count` frames that an end reads. */
export async function take(end: PacketEnd, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches()) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.length >= count) break
  }
  return frames
}

/** What an end reads until a frame of this number has come: it was sent last. */
export async function takeUntil(end: PacketEnd, isLast: (frame: Buffer) => boolean): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches()) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.some(isLast)) break
  }
  return frames
}

/** A frame of any length with a number, of which every byte says which it is. */
export function filled(number: number, length: number): Buffer {
  const frame = numberedFrame(number, length)
  for (let i = 18; i < length; i++) frame[i] = (number + i) & 0xff
  return frame
}

/** The same frame with a VLAN tag. */
export function tagged(frame: Buffer, vlan: number, protocol = 0x8100): Buffer {
  const tag = Buffer.alloc(4)
  tag.writeUInt16BE(protocol)
  tag.writeUInt16BE(vlan, 2)
  return Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)])
}
