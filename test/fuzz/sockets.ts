/** What a connection and a subscription make of forged answers and events. */
import { NetkitError } from '../../dist/errors.js'
import type { Poller } from '../../dist/native.js'
import { NetlinkConnection } from '../../dist/netlink/connection.js'
import { netlinkConstants } from '../../dist/netlink/message.js'
import { NetlinkSubscription } from '../../dist/netlink/subscription.js'
import { linkMessage } from '../../dist/rtnetlink/link-attributes.js'
import { instead } from './front.js'
import { corpus, type FuzzTarget, numbers, outcome, words } from './target.js'

const { NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR } = netlinkConstants
const RTM_GETLINK = 18

/** A message without anything in it but a number: an acknowledgement, or the end of a list. */
function end(type: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(36)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt32LE(sequence, 8)
  return bytes
}

/** The sequence numbers of a request's messages. */
function sequencesOf(request: Uint8Array): number[] {
  const view = Buffer.from(request)
  const found: number[] = []
  for (let at = 0; at + 16 <= view.length; at += (view.readUInt32LE(at) + 3) & ~3) found.push(view.readUInt32LE(at + 8))
  return found
}

/** The input with small sequence numbers, as far as it looks like messages, made those of the requests. */
function answering(input: Uint8Array, sequences: readonly number[]): Buffer {
  const bytes = Buffer.from(input)
  for (let at = 0; at + 16 <= bytes.length; ) {
    const sequence = sequences[bytes.readUInt32LE(at + 8) % 4]
    if (sequence !== undefined) bytes.writeUInt32LE(sequence, at + 8)
    const size = bytes.readUInt32LE(at)
    if (size < 16 || size > bytes.length - at) break
    at += (size + 3) & ~3
  }
  return bytes
}

let shared: NetlinkConnection | undefined

async function answers(input: Uint8Array): Promise<void> {
  const waiting = new Set<number>()
  let forged = false
  const functions = {
    exchange: async (_fd: number, request: Uint8Array, reply: Uint8Array) => {
      const sequences = request.length === 0 ? [] : sequencesOf(request)
      for (const sequence of sequences) waiting.add(sequence)
      // The forged answer first; when that settles not all, what a kernel would have said.
      const bytes = forged
        ? Buffer.concat([...waiting].flatMap((one) => [end(NLMSG_DONE, one), end(NLMSG_ERROR, one)]))
        : answering(input, sequences)
      forged = true
      reply.set(bytes.subarray(0, reply.length))
      return { sent: request.length, received: Math.min(bytes.length, reply.length), error: 0, more: false }
    },
    createPoller: (_fd: number, callback: (status: number, events: number) => void): Poller => {
      const start = () => {
        setImmediate(() => callback(0, 1))
        return 0
      }
      return { start, stop() {}, close() {}, ref() {}, unref() {} }
    },
  }
  await instead(functions, async () => {
    shared ??= await NetlinkConnection.open(-1, 0)
    const connection = shared
    const ask = (dump: boolean) => {
      const bytes = linkMessage.encode(RTM_GETLINK, dump ? NLM_F_DUMP : 0, { index: 1 }, {})
      return connection.request({
        what: 'look',
        syscall: 'RTM_GETLINK',
        definition: linkMessage,
        bytes,
        dump,
        onReply: (message) => void linkMessage.decode(message),
      })
    }
    const asked = Promise.allSettled([ask(false), ask(false), ask(true)])
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, 5000, undefined)
    })
    const results = await Promise.race([asked, patience])
    clearTimeout(timer)
    if (results === undefined) throw new Error('a request is never settled')
    for (const result of results) {
      if (result.status === 'rejected' && !(result.reason instanceof NetkitError)) throw result.reason
    }
    if (connection.closed) throw new Error('the connection is closed')
  })
}

async function events(input: Uint8Array): Promise<void> {
  let fire = (_status: number, _events: number) => {}
  const inputs = [Buffer.from(input)]
  const functions = {
    receive: (_fd: number, reply: Uint8Array) => {
      const bytes = inputs.pop()
      if (bytes === undefined) return -11
      reply.set(bytes.subarray(0, reply.length))
      return bytes.length
    },
    createPoller: (_fd: number, callback: (status: number, events: number) => void): Poller => {
      fire = callback
      return { start: () => 0, stop() {}, close() {}, ref() {}, unref() {} }
    },
  }
  await instead(functions, async () => {
    const subscription = await NetlinkSubscription.open(-1, 0, [], {
      onMessage({ source, start, end }) {
        if (start > end || end > input.length) throw new RangeError(`from ${start} to ${end}`)
        outcome(() => linkMessage.decode({ source, start, end, type: 16, flags: 0, sequence: 0 }))
      },
      onOverrun() {},
      onError(error) {
        throw error
      },
    })
    fire(0, 1)
    await subscription.close()
  })
}

const seeds = [...corpus('messages'), ...corpus('links').map((payload) => messageOf(payload, 1))]

/** A whole message: its payload after a header. */
function messageOf(payload: Uint8Array, sequence: number): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + payload.length, 0)
  header.writeUInt16LE(16, 4)
  header.writeUInt32LE(sequence, 8)
  return Buffer.concat([header, payload])
}

export const targets: FuzzTarget[] = [
  { name: 'answers', seeds, numbers, words, run: answers },
  { name: 'events', seeds, numbers, words, run: events },
]
