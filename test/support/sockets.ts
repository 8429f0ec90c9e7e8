/** Frames that know what they are, and folders for sockets. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import type { PacketEnd } from '../../dist/packets/end.js'

/** A frame of a length with content that depends on its number, all over. */
export function filledFrame(number: number, length: number): Buffer {
  const frame = Buffer.alloc(length, (number * 31) & 255)
  for (let i = 0; i + 4 <= length; i += 61) frame.writeUInt32BE((Math.imul(number + 1, 2654435761) + i) >>> 0, i)
  return frame
}

/** Every length from the shortest frame to the longest small one, and some of each size up to `longest`. */
export function everySize(longest: number): number[] {
  const sizes: number[] = []
  for (let size = 14; size < 1600; size++) sizes.push(size)
  for (let size = 1600; size < longest; size += 487) sizes.push(size)
  return [...sizes, longest, 14, longest]
}

/** A folder that goes with the test. */
export async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'netkit-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

class Digest {
  readonly #hash = createHash('sha256')
  count = 0

  add(frame: Uint8Array): void {
    this.#hash.update(`${frame.length} `).update(frame)
    this.count++
  }

  get value(): string {
    return this.#hash.copy().digest('hex')
  }
}

/**
 * Writes frames of these lengths to one end, and reads them from the other, in batches on both sides. Not more than `ahead` bytes
 * are under way, for what drops frames that are not read in time. True when all came, in order and intact.
 */
export async function cross(from: PacketEnd, to: PacketEnd, sizes: number[], ahead = 1_000_000): Promise<boolean> {
  const [sent, received] = [new Digest(), new Digest()]
  let [bytesSent, bytesReceived] = [0, 0]
  const reading = (async () => {
    for await (const batch of to.batches()) {
      for (const frame of batch) received.add(frame)
      bytesReceived += batch.bytes
      if (received.count >= sizes.length) return
    }
  })()
  for (let next = 0; next < sizes.length; ) {
    const frames: Buffer[] = []
    for (let i = next, bytes = 0; i < sizes.length && frames.length < 100 && bytes < ahead / 2; i++) {
      frames.push(filledFrame(i, sizes[i] as number))
      bytes += sizes[i] as number
    }
    const done = from.writeBatch(frames)
    for (const frame of frames.slice(0, done)) {
      sent.add(frame)
      bytesSent += frame.length
    }
    next += done
    do await turn()
    while (bytesSent - bytesReceived > ahead / 2)
  }
  await reading
  return sent.value === received.value
}
