/** Two packet ends inside the process, joined to each other. */
import { errnoNumber } from '../errno.js'
import { systemError } from '../errors.js'
import { type NativeEnd, native } from '../native.js'
import { PacketDevice } from '../packets/device.js'
import { PacketEnd } from '../packets/end.js'
import { hangUp } from '../packets/hang-up.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions } from '../validate.js'

/** Options of `createEndPair`. */
export interface EndPairOptions {
  /** How many frames may wait for each end: 1 to 65,536. Default: 1,024. */
  capacity?: number
  /** Whether offload headers are carried: then frames may have 64 KiB, and unfinished checksums. Default: false. */
  offload?: boolean
  /** What is carried: 'ethernet' frames or 'ip' packets. Default: 'ethernet'. */
  layer?: 'ethernet' | 'ip'
}

const EPIPE = -errnoNumber('EPIPE')

/**
 * One end of a pair: what is written to it is read from the other. When as many frames wait there as the pair's capacity, it is
 * full: `writeBatch` takes fewer, and the stream waits. When the other end is closed, reading ends after what still waits, and
 * writing fails with EPIPE.
 */
export class PairEnd extends PacketEnd {
  /** @internal */
  constructor(end: NativeEnd, fd: number, offload: boolean, layer3: boolean) {
    // What ends reading is told by the device, which must not keep this object from being collected.
    const self: { held?: WeakRef<PairEnd> } = {}
    const ended = (result: number) => {
      if (result !== EPIPE) return false
      process.nextTick(() => {
        const pair = self.held?.deref()
        if (pair !== undefined) hangUp(pair)
      })
      return true
    }
    // Not before a pump has let go of it, which would take it for the peer's doing.
    const closing = () => native.closePairEnd(end)
    super({ device: new PacketDevice({ end, fd, name: `pair:${fd}`, offload, layer3, ended, closing }), mtu: 1500 })
    self.held = new WeakRef(this)
  }
}

/**
 * Makes two ends that are joined in memory: for tests, and to join pumps and switches. Each may be used by any thread.
 *
 * @throws NetkitError EMFILE, ENFILE, ENOMEM
 */
export function createEndPair(options: EndPairOptions = {}): [PairEnd, PairEnd] {
  checkOptions(options, 'options', ['capacity', 'offload', 'layer'])
  const { capacity = 1024, offload = false, layer = 'ethernet' } = options
  checkInteger(capacity, 'options.capacity', 1, 65_536)
  checkBoolean(offload, 'options.offload')
  checkOneOf(layer, 'options.layer', ['ethernet', 'ip'])
  const made = native.createPairEnds(capacity, (layer === 'ip' ? 1 : 0) | (offload ? 2 : 0))
  if (typeof made === 'number') throw systemError(made, 'socketpair', 'cannot make a pair of ends')
  const layer3 = layer === 'ip'
  const [a, aDescriptor, b, bDescriptor] = made
  return [new PairEnd(a, aDescriptor, offload, layer3), new PairEnd(b, bDescriptor, offload, layer3)]
}
