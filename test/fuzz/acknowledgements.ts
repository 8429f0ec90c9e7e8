/** Acknowledgements and refusals: NLMSG_ERROR, and the NLMSG_DONE of a dump; and the walk to the attribute that they point at. */
import { decodeAcknowledgement, refusal } from '../../dist/netlink/acknowledgement.js'
import { sourceOf } from '../../dist/netlink/bytes.js'
import { forEachMessage, netlinkConstants } from '../../dist/netlink/message.js'
import { linkMessage } from '../../dist/rtnetlink/link-attributes.js'
import { corpus, type FuzzTarget, numbers, surrounded, within, words } from './target.js'
import '../../dist/index.js'

const { NLMSG_DONE, NLMSG_ERROR } = netlinkConstants

/** A request that has nested attributes of its own. */
const request = linkMessage.encode(16, 0, { index: 7 }, { name: 'br0', info: { kind: 'bridge', data: { stp: true } } })

export const targets: FuzzTarget[] = [
  {
    name: 'acknowledgements',
    seeds: corpus('acknowledgements'),
    numbers,
    words,
    run(input) {
      for (const type of [NLMSG_ERROR, NLMSG_DONE]) {
        for (const flags of [0, 0x100, 0x200, 0x300]) {
          const result = within(input, (message) => decodeAcknowledgement({ ...message, type, flags }))
          if (!('value' in result)) throw new Error(`an acknowledgement is never Malformed: ${result.malformed}`)
          const { errno } = result.value
          if (errno < 0) throw new Error(`errno ${errno}`)
          const error = refusal(result.value, request, { what: 'x', syscall: 'RTM_NEWLINK', definition: linkMessage })
          if (typeof error.message !== 'string') throw new Error('there are no words for it')
        }
      }
    },
  },
  {
    // Eight bytes of an offset, then a request.
    name: 'attribute-at',
    seeds: [Buffer.concat([Buffer.alloc(4, 1), request])],
    numbers,
    words,
    run(input) {
      if (input.length < 4) return
      const offset = new DataView(input.buffer, input.byteOffset).getUint32(0, true)
      const bytes = input.subarray(4)
      for (const at of [offset, offset % (bytes.length + 1)]) {
        const { path } = linkMessage.attributeAt(sourceOf(bytes), at)
        if (path.some((name) => name === '')) throw new Error(`a name is empty: ${path.join('.')}`)
      }
    },
  },
  {
    name: 'messages',
    seeds: corpus('messages'),
    numbers: [2, 3, 16, 20, 24],
    words,
    run(input) {
      const walks = [0, 0xff].map((poison) => {
        const { source } = surrounded(input, poison)
        const inner = sourceOf(source.bytes.subarray(32))
        const found: string[] = []
        let last = 0
        try {
          forEachMessage(inner, input.length, ({ type, flags, sequence, start, end }) => {
            if (start < last || end < start || end > input.length) throw new RangeError(`from ${start} to ${end}`)
            last = end
            found.push(`${type} ${flags} ${sequence} ${start} ${end}`)
          })
        } catch (error) {
          if ((error as Error).name !== 'Malformed') throw error
          found.push((error as Error).message)
        }
        return found.join('\n')
      })
      if (walks[0] !== walks[1]) throw new Error('what comes after the messages is read')
    },
  },
]
