/** What becomes of an end when its peer has gone, which is no error. */
import { deviceOf, type PacketEnd } from './end.js'

const ending = new WeakSet<PacketEnd>()

/**
 * Ends an end that will get no more frames. Who reads it as a stream gets what was read ahead, and then 'end'; the end is destroyed
 * after that, or at once when nobody waits for it.
 */
export function hangUp(end: PacketEnd): void {
  if (end.destroyed || ending.has(end)) return
  if (end.readableLength === 0 && end.listenerCount('data') === 0) {
    end.destroy()
    return
  }
  ending.add(end)
  // Its descriptor can be read for ever.
  deviceOf(end).unwatch()
  end.once('end', () => end.destroy())
  end.push(null)
}
