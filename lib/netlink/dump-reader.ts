/**
 * One dump on a netlink socket of its own, read as slowly as its reader likes: the kernel goes on with a dump only when the
 * socket is read, so what is not asked for is nowhere.
 */
import { AbortError, systemError } from '../errors.js'
import { type ExchangeResult, native, type Poller } from '../native.js'
import { decodeAcknowledgement, wordsOf } from './acknowledgement.js'
import { Malformed } from './attribute.js'
import { align4, LITTLE_ENDIAN, type Source, sourceOf } from './bytes.js'
import { type Message, messageAt, netlinkConstants } from './message.js'
import { failureOf, malformedAnswer, type Request, refusalOf } from './request.js'
import { openNetlinkSocket, returnSlab, takeSlab } from './socket.js'

const { NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP } = netlinkConstants

/** Messages taken from the kernel at a time: three datagrams of a dump, which a reader goes through without a pause. */
const PORTION = 128 * 1024
const SEQUENCE = 1

export class DumpReader {
  readonly #namespace: number
  readonly #protocol: number
  readonly #request: Request
  #fd = -1
  #poller: Poller | undefined
  /** What was received and not taken: from `#offset` to `#length`. */
  #source: Source | undefined
  #offset = 0
  #length = 0
  #asked = false
  #receiving = false
  #ended = false
  #interrupted = false
  #failure: unknown
  #closing: Promise<void> | undefined
  #wake: (() => void) | undefined

  /** Nothing is opened yet. `namespace` is a descriptor, or -1 for the environment's own. */
  constructor(namespace: number, protocol: number, request: Request) {
    this.#namespace = namespace
    this.#protocol = protocol
    this.#request = request
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** The whole list was given. */
  get ended(): boolean {
    return this.#ended
  }

  /** What is listed changed meanwhile (NLM_F_DUMP_INTR). */
  get interrupted(): boolean {
    return this.#interrupted
  }

  /**
   * The next message, whose bytes are reused after the next call of `receive`. Undefined when there is none: the list has ended,
   * or more has to be received. Throws the error that the dump ended with.
   */
  take(): Message | undefined {
    if (this.#failure !== undefined) throw this.#failure
    const source = this.#source
    while (source !== undefined && this.#offset < this.#length && !this.#ended) {
      const message = this.#messageAt(source)
      if (message.sequence !== SEQUENCE || message.type === NLMSG_NOOP) continue
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) this.#interrupted = true
      if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) return message
      this.#ended = true
      const acknowledgement = decodeAcknowledgement(message)
      if (acknowledgement.errno !== 0) throw refusalOf(this.#request.bytes, this.#request, acknowledgement)
    }
    return undefined
  }

  #messageAt(source: Source): Message {
    try {
      const message = messageAt(source, this.#offset, this.#length)
      this.#offset = align4(message.end)
      return message
    } catch (error) {
      throw error instanceof Malformed ? malformedAnswer(error, this.#request) : error
    }
  }

  /** Waits for more messages. Rejects when the dump cannot go on. To be called when `take` gave undefined, and by one at a time. */
  async receive(): Promise<void> {
    if (this.#failure === undefined && this.#fd < 0) await this.#open()
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      const { sent, received, error } = await this.#exchange()
      if (this.#failure !== undefined) throw this.#failure
      if (sent < 0) throw failureOf(this.#request, systemError(sent, 'sendmsg', 'cannot send a netlink request'))
      if (error < 0) throw failureOf(this.#request, systemError(error, 'recvmsg', 'cannot receive the list'))
      if (received > 0) return
      // rtnetlink has answered by now; other protocols may answer later.
      await this.#readable()
    }
  }

  async #open(): Promise<void> {
    const fd = await openNetlinkSocket(this.#namespace, this.#protocol)
    if (this.#closing === undefined) this.#fd = fd
    else await native.closeDescriptor(fd)
  }

  /** Sends the request the first time, and receives a portion. */
  async #exchange(): Promise<ExchangeResult> {
    if (this.#source === undefined) this.#source = sourceOf(takeSlab())
    const { bytes } = this.#source
    const request = this.#asked ? new Uint8Array(0) : numbered(this.#request.bytes)
    this.#asked = true
    this.#offset = this.#length = 0
    this.#receiving = true
    const result = await native.exchange(this.#fd, request, bytes.subarray(0, PORTION))
    this.#receiving = false
    this.#length = result.received
    if (this.closed) this.#release()
    return result
  }

  #readable(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wake = resolve
      this.#poller ??= native.createPoller(this.#fd, () => {
        this.#poller?.stop()
        this.#wake?.()
      })
      const status = this.#poller.start(1)
      if (status < 0) reject(failureOf(this.#request, systemError(status, 'poll', 'cannot wait for an answer')))
    })
  }

  /** Lets go of the socket at once. What waits is rejected with the error. Resolves when the descriptor is closed; idempotent. */
  close(error: unknown = new AbortError(`${wordsOf(this.#request)}: the list was closed`)): Promise<void> {
    if (this.#closing === undefined) {
      this.#failure ??= error
      this.#poller?.close()
      this.#closing = this.#fd < 0 ? Promise.resolve() : native.closeDescriptor(this.#fd).then(() => {})
      this.#wake?.()
      // The work thread may be writing to it.
      if (!this.#receiving) this.#release()
    }
    return this.#closing
  }

  #release(): void {
    const source = this.#source
    this.#source = undefined
    if (source !== undefined) returnSlab(source.bytes)
  }
}

/** The request with its number in it. */
function numbered(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  new DataView(copy.buffer).setUint32(8, SEQUENCE, LITTLE_ENDIAN)
  return copy
}
