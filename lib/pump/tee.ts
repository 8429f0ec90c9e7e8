/** Where a pump puts copies of what it carries. */
import { systemError } from '../errors.js'
import { type NativeEnd, native } from '../native.js'
import { PacketDevice, type PacketStats } from '../packets/device.js'
import { PacketEnd } from '../packets/end.js'
import { checkInteger, checkOneOf, checkOptions } from '../validate.js'

/** Options of `createTee`. */
export interface TeeOptions {
  /**
   * Bytes that copies may take until they are read; rounded up to a power of two. From 128 KiB to 1 GiB, 1 MiB by default. Memory
   * that was never needed is never taken.
   */
  capacity?: number
  /** The most bytes of a frame that are kept: from 1 to 65,654, all of them by default. */
  snapshotLength?: number
  /** What comes: Ethernet frames (the default), or IP packets, as a tun has them. */
  layer?: 'ethernet' | 'ip'
}

const LONGEST = 65_654

/**
 * Copies of what a pump carries, to be read like any other end: as a stream, or in batches (`batches({ details: true })` has the
 * time of each, its direction, and its length before it was cut). A pump never waits for it: what has no room is dropped, and
 * counted in `stats().dropped`.
 *
 * What comes from the pump's first end is 'inbound', what goes to it 'outbound'. With offload, frames are copied as they are, of
 * up to 64 KiB.
 */
export class Tee extends PacketEnd {
  readonly #native: NativeEnd

  /** @internal */
  constructor(device: PacketDevice, snapshotLength: number) {
    super({ device, mtu: snapshotLength })
    this.#native = device.end
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, (failure) => {
      native.closeTee(this.#native)
      callback(failure)
    })
  }

  /** `framesWritten`: the copies that found room; `dropped`: those that found none. */
  override stats(): PacketStats {
    const { lastRefusal: _, ...stats } = super.stats()
    return { ...stats, refused: 0, dropped: stats.refused }
  }
}

/**
 * Makes a tee, which `pump.tee(tee)` fills. It has a descriptor (an eventfd): close it when it is no longer needed.
 *
 * @throws NetkitError EMFILE, ENFILE or ENOMEM
 */
export function createTee(options: TeeOptions = {}): Tee {
  checkOptions(options, 'options', ['capacity', 'snapshotLength', 'layer'])
  const { capacity = 1024 * 1024, snapshotLength = LONGEST, layer = 'ethernet' } = options
  checkInteger(capacity, 'options.capacity', 128 * 1024, 2 ** 30)
  checkInteger(snapshotLength, 'options.snapshotLength', 1, LONGEST)
  checkOneOf(layer, 'options.layer', ['ethernet', 'ip'])
  const made = native.createTee(layer === 'ip' ? 1 : 0, 2 ** Math.ceil(Math.log2(capacity)), snapshotLength)
  if (typeof made === 'number') throw systemError(made, 'eventfd2', 'cannot make a tee')
  const device = new PacketDevice({ ...made, name: 'tee', layer3: layer === 'ip', offload: snapshotLength > 9000 })
  return new Tee(device, snapshotLength)
}
