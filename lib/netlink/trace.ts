/**
 * Seeing what is said to the kernel: three channels of node:diagnostics_channel, and NETKIT_DEBUG=netlink, which prints them.
 * While nobody listens a request costs the look at a flag.
 */
import { type Channel, channel } from 'node:diagnostics_channel'
import { type Description, wordsOf } from './acknowledgement.js'
import { copyOf, sourceOf } from './bytes.js'
import type { Message } from './message.js'
import type { Outcome, Request } from './request.js'
import { describePayload, describeRequest, type MessageWords, messageText } from './words.js'

/** `netkit:netlink:request`: a request that is about to be sent. */
export interface TracedRequest {
  /** Tells the requests of this thread apart. */
  id: number
  /** RTM_NEWLINK … */
  name: string
  /** What is being done, as errors say it. */
  what: string
  /** The message, with its header. */
  bytes: Uint8Array
  /** The message by the kernel's names; decoded when it is looked at. */
  readonly words: MessageWords
}

/** `netkit:netlink:reply`: a message of the kernel's answer, acknowledgements apart. */
export interface TracedReply {
  request: TracedRequest
  /** The payload, without the message's header. */
  payload: Uint8Array
  readonly words: MessageWords
}

/** `netkit:netlink:end`: how a request ended. */
export interface TracedEnd {
  request: TracedRequest
  /** Messages of the answer. */
  replies: number
  /** Milliseconds since it was asked for. */
  duration: number
  /** The NetkitError or AbortError that it was rejected with. */
  error: unknown
}

const channels = {
  request: channel('netkit:netlink:request'),
  reply: channel('netkit:netlink:reply'),
  end: channel('netkit:netlink:end'),
} satisfies Record<string, Channel>

let requests = 0

/** The trace of one request, to its end. */
export class Trace {
  readonly #request: TracedRequest
  readonly #description: Description
  readonly #start = performance.now()
  #replies = 0

  constructor(bytes: Uint8Array, description: Description) {
    const { syscall: name, definition } = description
    this.#description = description
    this.#request = {
      id: ++requests,
      name,
      what: wordsOf(description),
      bytes,
      get words() {
        return describeRequest(definition, bytes, name)
      },
    }
    channels.request.publish(this.#request)
  }

  reply({ source, type, flags, start, end }: Message): void {
    this.#replies++
    if (!channels.reply.hasSubscribers) return
    const payload = copyOf(source.bytes, start, end)
    const { definition } = this.#description
    const traced: TracedReply = {
      request: this.#request,
      payload,
      get words() {
        return describePayload(definition, {
          source: sourceOf(payload),
          type,
          flags,
          start: 0,
          end: payload.length,
        })
      },
    }
    channels.reply.publish(traced)
  }

  end(error?: unknown): void {
    const duration = performance.now() - this.#start
    const traced: TracedEnd = { request: this.#request, replies: this.#replies, duration, error }
    channels.end.publish(traced)
  }
}

const underTrace = new WeakSet<Request>()

export function isUnderTrace(request: Request): boolean {
  return underTrace.has(request)
}

/** Sends a request under a trace. */
export async function traced(request: Request, send: (request: Request) => Promise<Outcome>): Promise<Outcome> {
  const trace = new Trace(request.bytes, request)
  const onReply = (message: Message) => {
    trace.reply(message)
    request.onReply?.(message)
  }
  try {
    const { what, syscall, definition, bytes, dump } = request
    const own = { what, syscall, definition, bytes, dump, onReply, hint: () => request.hint?.() }
    underTrace.add(own)
    const outcome = await send(own)
    trace.end()
    return outcome
  } catch (error) {
    trace.end(error)
    throw error
  }
}

/** True while somebody listens: only then are traces made. */
export function isTraced(): boolean {
  return channels.request.hasSubscribers || channels.reply.hasSubscribers || channels.end.hasSubscribers
}

/** Replies that NETKIT_DEBUG prints of one answer: a list may have a million. */
const MANY_REPLIES = 20

function print(line: string): void {
  process.stderr.write(`netkit ${line}\n`)
}

function printAll(): void {
  const seen = new WeakMap<TracedRequest, number>()
  channels.request.subscribe((message) => {
    const request = message as TracedRequest
    print(`${request.id} > ${messageText(request.words)}`)
  })
  channels.reply.subscribe((message) => {
    const { request, words } = message as TracedReply
    const count = (seen.get(request) ?? 0) + 1
    seen.set(request, count)
    if (count <= MANY_REPLIES) print(`${request.id} < ${messageText(words)}`)
    else if (count === MANY_REPLIES + 1) print(`${request.id} < …`)
  })
  channels.end.subscribe((message) => {
    const { request, replies, duration, error } = message as TracedEnd
    const how = error === undefined ? 'done' : error instanceof Error ? error.message : String(error)
    const many = replies === 0 ? '' : `, ${replies} ${replies === 1 ? 'reply' : 'replies'}`
    print(`${request.id} = ${how} (${duration.toFixed(2)} ms${many})`)
  })
}

const wanted = (process.env.NETKIT_DEBUG ?? '').split(',').filter((word) => word !== '')
if (wanted.includes('netlink')) printAll()
for (const word of wanted) {
  if (word !== 'netlink') process.emitWarning(`NETKIT_DEBUG '${word}': netkit knows 'netlink' alone`)
}
