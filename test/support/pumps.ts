/** Pumps for tests: between two tees, where no kernel adds frames of its own, and between two namespaces. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { Namespace } from '../../dist/namespace/namespace.js'
import type { PumpOptions } from '../../dist/pump/options.js'
import { type Pump, startPump } from '../../dist/pump/pump.js'
import { createTee, type Tee } from '../../dist/pump/tee.js'
import { openTap, type Tap, type TapOptions } from '../../dist/tuntap/tap.js'
import { eventually } from './counting.js'
import { numberedFrame, numberOf } from './packets.js'
import { scratch } from './scratch.js'

export interface Line {
  /** What is written here … */
  from: Tee
  /** … comes out here. */
  to: Tee
  pump: Pump
}

/** A pump in one direction, between two rings of memory. */
export function line(t: Test, options: PumpOptions = {}): Line {
  const from = createTee({ capacity: 16 * 1024 * 1024 })
  const to = createTee({ capacity: 16 * 1024 * 1024 })
  const pump = startPump(from, to, { direction: 'forward', ...options })
  t.teardown(async () => {
    await pump.close()
    await Promise.all([from.close(), to.close()])
  })
  return { from, to, pump }
}

export interface Arrival {
  number: number
  /** Of the frame, after its number. */
  rest: Buffer
  /** performance.now() when it was seen. */
  at: number
}

/** Reads what comes out until the pump has nothing left of `sent` frames. */
export async function arrivals({ to, pump }: Line, sent: number): Promise<Arrival[]> {
  const seen: Arrival[] = []
  const listener = to.onBatch((batch) => {
    const at = performance.now()
    for (let i = 0; i < batch.length; i++) {
      const frame = batch.copy(i)
      seen.push({ number: numberOf(frame) ?? -1, rest: frame.subarray(18), at })
    }
  })
  const all = () => {
    const { forward } = pump.stats()
    const gone = forward.lost + forward.dropped + forward.filtered + forward.refused
    return forward.frames === sent && forward.waiting === 0 && seen.length === sent + forward.duplicated - gone
  }
  const complete = await eventually(all, 15_000)
  listener.close()
  if (!complete) throw new Error(`${seen.length} frames came of ${sent}: ${JSON.stringify(pump.stats().forward)}`)
  return seen
}

/** Writes numbered frames, not more at a time than the ring has room for. */
export async function send({ from, pump }: Line, count: number, length = 60, first = 0): Promise<void> {
  const before = pump.stats().forward.frames
  for (let done = 0; done < count; ) {
    const part = Math.min(count - done, 500)
    from.writeBatch(Array.from({ length: part }, (_, i) => numberedFrame(first + done + i, length)))
    done += part
    if (!(await eventually(() => pump.stats().forward.frames - before >= done)))
      throw new Error('the pump reads no more')
  }
}

export interface Cable {
  left: Namespace
  right: Namespace
  a: Tap
  b: Tap
}

/** Two namespaces with a tap each: 10.0.1.1 and fd00::1 at `a`, 10.0.1.2 and fd00::2 at `b`. */
export async function cable(t: Test, a: TapOptions = {}, b: TapOptions = {}): Promise<Cable> {
  const [left, right] = [await scratch(t), await scratch(t)]
  const open = async (namespace: Namespace, number: number, options: TapOptions) => {
    const addresses = [`10.0.1.${number}/24`, { address: `fd00::${number}/64`, noDad: true }]
    const tap = await openTap({ namespace, addresses, up: true, name: `tap${number}`, ...options })
    t.teardown(() => tap.close())
    return tap
  }
  return { left, right, a: await open(left, 1, a), b: await open(right, 2, b) }
}

/** Sends `bytes` from left to right and back by TCP. Returns whether they came back as they were. */
export async function echo({ left, right }: Cable, host: string, bytes: number): Promise<boolean> {
  const server = await right.listen({ host, port: 0 }, (socket) => socket.pipe(socket).on('error', () => {}))
  const { port } = server.address() as { port: number }
  const socket = await left.connect({ host, port })
  const sent = Buffer.alloc(bytes)
  for (let i = 0; i + 4 <= bytes; i += 4) sent.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 0, i)
  const received = createHash('sha256')
  socket.on('data', (part) => received.update(part))
  socket.end(sent)
  await once(socket, 'end')
  server.close()
  return received.digest('hex') === createHash('sha256').update(sent).digest('hex')
}
