/** A decoder with a mistake in it, which the fuzzer has to find: it shows that the fuzzer can find something. */
import { type AttributeType, attributeU32 } from '../../../dist/netlink/attribute.js'
import { sourceOf } from '../../../dist/netlink/bytes.js'
import { Struct, u32 } from '../../../dist/netlink/struct.js'
import { attributes, nested } from '../../../dist/netlink/table.js'
import type { FuzzTarget } from '../target.js'
import { outcome } from '../target.js'

const planted: AttributeType<number> = {
  decode(source, offset, length) {
    if (length === 28) {
      if (source.bytes[offset] === 0xa7) throw new RangeError('the planted mistake')
    }
    return length
  },
  encode: () => {},
}

const inner = attributes({ one: [1, 'PLANTED_ONE', attributeU32], two: [2, 'PLANTED_TWO', planted] })
const middle = attributes({ inner: [3, 'PLANTED_INNER', nested(inner)] })
const outer = attributes({ middle: [5, 'PLANTED_MIDDLE', nested(middle)] })
const header = new Struct('planted', { index: ['index', u32] })

export const targets: FuzzTarget[] = [
  {
    name: 'planted',
    // The outermost attribute alone, without anything in it.
    seeds: [Buffer.from('00000000' + '04000500', 'hex')],
    numbers: [1, 2, 3, 5],
    words: [Buffer.alloc(4)],
    run(input) {
      outcome(() => outer.decode(sourceOf(input), Math.min(header.size, input.length), input.length))
    },
  },
]
