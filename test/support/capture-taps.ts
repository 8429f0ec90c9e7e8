/** A tap whose frames are captured, and a way to make it send some. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { type CapturedPacket, type Namespace, openTap, readCapture, type Tap } from '../../dist/index.js'
import { scratch } from './scratch.js'

/** A tap with 10.0.2.1/24 that sends nothing by itself, in a namespace that goes with the test. */
export async function quietTap(t: Test): Promise<{ namespace: Namespace; tap: Tap }> {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ namespace, up: true, name: 'tap0', addresses: ['10.0.2.1/24'] })
  t.teardown(() => tap.close())
  return { namespace, tap }
}

/** Broadcasts datagrams with numbers in them, from `first` on. They have been sent when it resolves. */
export async function broadcast(namespace: Namespace, first: number, count: number, length = 18): Promise<void> {
  const socket = await namespace.bindDatagram({ type: 'udp4', broadcast: true })
  for (let i = first; i < first + count; i++) {
    const payload = Buffer.alloc(length)
    payload.writeUInt32BE(i)
    await new Promise((resolve) => socket.send(payload, 9, '10.0.2.255', resolve))
    // A tap's queue has room for 1,000.
    if (i % 200 === 199) await delay(2)
  }
  socket.close()
  await once(socket, 'close')
}

/** The number in such a frame; undefined for any other. */
export function broadcastNumber({ data }: CapturedPacket): number | undefined {
  return data.length >= 46 && data[23] === 17 && data.readUInt16BE(36) === 9 ? data.readUInt32BE(42) : undefined
}

/** The numbers in a file, in its order. */
export async function numbersIn(file: string): Promise<number[]> {
  const packets = (await readCapture(file).toArray()) as CapturedPacket[]
  return packets.map(broadcastNumber).filter((number) => number !== undefined)
}
