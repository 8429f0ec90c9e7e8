/**
 * A netlink socket for requests. Requests of one tick travel together: they are sent from the addon's work thread in chunks,
 * only the last of a chunk asks for an acknowledgement (the kernel answers in order, and errors come without asking), and each
 * promise is settled by its own sequence number.
 */
import { errnoNumber } from '../errno.js'
import { AbortError, NetkitError, systemError } from '../errors.js'
import { type ExchangeResult, native, type Poller } from '../native.js'
import { type Acknowledgement, type Description, decodeAcknowledgement, refusal, wordsOf } from './acknowledgement.js'
import { Malformed } from './attribute.js'
import { align4, LITTLE_ENDIAN, sourceOf } from './bytes.js'
import { forEachMessage, type Message, netlinkConstants } from './message.js'
import { isLoss, openNetlinkSocket, receiveBufferOf, returnSlab, takeSlab } from './socket.js'

const { NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP } = netlinkConstants

export interface Request extends Description {
  /** A message as MessageDefinition.encode makes it. */
  readonly bytes: Uint8Array
  /** The kernel answers with a list that NLMSG_DONE ends. The flags do not tell: NLM_F_DUMP is NLM_F_REPLACE | NLM_F_EXCL. */
  readonly dump?: boolean | undefined
  /** Called with each message of the answer, synchronously: its bytes are reused afterwards. */
  readonly onReply?: ((message: Message) => void) | undefined
}

/** How a request ended, when it did not fail. */
export interface Outcome {
  /** NLM_F_DUMP_INTR was seen: what was listed changed meanwhile, and the answer may lack something. */
  interrupted: boolean
}

interface Pending {
  readonly request: Request
  readonly dump: boolean
  sequence: number
  interrupted: boolean
  failure: unknown
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

/**
 * Bytes and requests that a chunk may have. What follows the answers of a chunk (promises, and the requests that they lead to)
 * runs in one go: with 16 requests a chunk, the event loop's delay while a thousand links are made has its 99th percentile at
 * 5 ms, with 256 at 8 to 17 ms, and neither takes longer.
 */
const CHUNK_BYTES = 32 * 1024
const CHUNK_REQUESTS = 16
/** What an answer takes of the receive buffer, with the kernel's overhead: an interface with all its attributes, a refusal. */
const ANSWER_BYTES = 10 * 1024
const REFUSAL_BYTES = 2 * 1024
/** Chunks under way: while the kernel works on one, the next is put together and the one before is read. */
const CHUNKS_UNDER_WAY = 2
const EBADMSG = errnoNumber('EBADMSG')

export class NetlinkConnection {
  readonly #fd: number
  readonly #receiveBuffer: number
  /** Not sent yet: those from `#head` on. */
  readonly #waiting: Pending[] = []
  #head = 0
  /** Sent and not settled, in the order of sending. */
  readonly #sent = new Map<number, Pending>()
  #underWay = 0
  #dumping = false
  /** Answers wait in the socket: nothing is sent before they are read, or there would be no room for more. */
  #backlog = false
  #scheduled = false
  #sequence: number
  #poller: Poller | undefined
  #closing: Promise<void> | undefined

  private constructor(fd: number, sequence: number) {
    this.#fd = fd
    this.#sequence = sequence
    this.#receiveBuffer = receiveBufferOf(fd)
  }

  /** Opens a connection in a namespace, by descriptor (-1: the environment's own). Requests are numbered from `sequence` + 1. */
  static async open(namespace: number, protocol: number, sequence = 0): Promise<NetlinkConnection> {
    return new NetlinkConnection(await openNetlinkSocket(namespace, protocol), sequence)
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /**
   * Sends a request, and settles when the kernel has dealt with it: with an Outcome, or with the NetkitError of its refusal.
   * Requests are dealt with in the order of the calls.
   */
  request(request: Request): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(new AbortError(`${wordsOf(request)}: the connection is closed`))
        return
      }
      const { dump = false } = request
      this.#waiting.push({ request, dump, sequence: 0, interrupted: false, failure: undefined, resolve, reject })
      this.#schedule()
    })
  }

  /** Closes the socket. What waits is rejected with an AbortError. Resolves when the descriptor is closed; idempotent. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#poller?.close()
      this.#closing = native.closeDescriptor(this.#fd).then(() => {})
      const waiting = [...this.#sent.values(), ...this.#waiting.splice(0).slice(this.#head)]
      this.#head = 0
      this.#sent.clear()
      for (const pending of waiting)
        pending.reject(new AbortError(`${wordsOf(pending.request)}: the connection was closed`))
    }
    return this.#closing
  }

  /** At the end of this tick: after every promise callback that is ready to run, so that what they ask for travels along. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() =>
      process.nextTick(() => {
        this.#scheduled = false
        this.#send()
      }),
    )
  }

  #send(): void {
    while (
      this.#closing === undefined &&
      this.#head < this.#waiting.length &&
      this.#underWay < CHUNKS_UNDER_WAY &&
      !this.#dumping &&
      !this.#backlog
    ) {
      const chunk = this.#takeChunk()
      void this.#exchange(this.#write(chunk), chunk)
    }
  }

  /**
   * The next requests that fit together, and whose answers fit in half of the receive buffer, as two chunks are under way. (It
   * holds twice what was asked for: socket(7).) A dump ends its chunk, as the kernel runs one dump a socket at a time.
   */
  #takeChunk(): Pending[] {
    let size = 0
    let answers = 0
    let count = 0
    for (let i = this.#head; i < this.#waiting.length; i++) {
      const { request, dump } = this.#waiting[i] as Pending
      size += align4(request.bytes.length)
      answers += request.onReply === undefined ? REFUSAL_BYTES : ANSWER_BYTES
      if (count > 0 && (size > CHUNK_BYTES || answers > this.#receiveBuffer || count === CHUNK_REQUESTS)) break
      count++
      if (dump) {
        this.#dumping = true
        break
      }
    }
    const chunk = this.#waiting.slice(this.#head, this.#head + count)
    this.#head += count
    // Cut off now and then: each time would move all that wait for each few that go.
    if (2 * this.#head >= this.#waiting.length) {
      this.#waiting.splice(0, this.#head)
      this.#head = 0
    }
    return chunk
  }

  /** Puts the requests one after another, numbered; the last asks for an acknowledgement (a dump has its NLMSG_DONE). */
  #write(chunk: readonly Pending[]): Uint8Array {
    const bytes = new Uint8Array(chunk.reduce((sum, { request }) => sum + align4(request.bytes.length), 0))
    const view = new DataView(bytes.buffer)
    let offset = 0
    chunk.forEach((pending, i) => {
      const { request } = pending
      bytes.set(request.bytes, offset)
      pending.sequence = this.#nextSequence()
      view.setUint32(offset + 8, pending.sequence, LITTLE_ENDIAN)
      if (i === chunk.length - 1 && !pending.dump) {
        view.setUint16(offset + 6, view.getUint16(offset + 6, LITTLE_ENDIAN) | NLM_F_ACK, LITTLE_ENDIAN)
      }
      this.#sent.set(pending.sequence, pending)
      offset += align4(request.bytes.length)
    })
    return bytes
  }

  #nextSequence(): number {
    // 0 is what the kernel's own notifications carry; a number still in use is passed over.
    do this.#sequence = this.#sequence >= 0xffff_ffff ? 1 : this.#sequence + 1
    while (this.#sent.has(this.#sequence))
    return this.#sequence
  }

  /** Sends a chunk, or nothing, and deals with what the kernel has answered so far. */
  async #exchange(bytes: Uint8Array, chunk: readonly Pending[]): Promise<void> {
    this.#underWay++
    const slab = takeSlab()
    let result: ExchangeResult
    try {
      result = await native.exchange(this.#fd, bytes, slab)
      this.#underWay--
      if (this.#closing !== undefined) return
      if (result.sent < 0) this.#fail(chunk, systemError(result.sent, 'sendmsg', 'cannot send a netlink request'))
      this.#read(slab, result.received)
    } finally {
      returnSlab(slab)
    }
    // A caller's function may have closed the connection, and the descriptor may be another one by now.
    if (this.closed) return
    if (result.error < 0) this.#lost(result.error)
    // After a loss nothing is sent until the socket's queue is empty.
    this.#backlog = result.more || isLoss(result.error)
    this.#send()
    if (this.#underWay > 0) return
    // rtnetlink has answered by now, but for what did not fit; other protocols may answer later.
    if (this.#backlog) void this.#exchange(new Uint8Array(0), [])
    else if (this.#sent.size > 0) this.#wait()
    else this.#poller?.stop()
  }

  /** Asks to be called when the socket is readable. */
  #wait(): void {
    // The status does not matter: what ails the socket is what reading it says.
    this.#poller ??= native.createPoller(this.#fd, () => {
      this.#poller?.stop()
      if (this.#underWay === 0) void this.#exchange(new Uint8Array(0), [])
    })
    const status = this.#poller.start(1)
    if (status < 0) this.#fail([...this.#sent.values()], systemError(status, 'poll', 'cannot wait for an answer'))
  }

  #read(slab: Uint8Array, length: number): void {
    const source = sourceOf(slab)
    try {
      forEachMessage(source, length, (message) => this.#receive(message))
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      // Nobody can tell any more which answer is whose.
      const failure = new NetkitError({
        message: `the kernel's answer ${error.message}`,
        errno: EBADMSG,
        syscall: 'recvmsg',
      })
      this.#fail([...this.#sent.values()], failure)
    }
  }

  #receive(message: Message): void {
    const pending = this.#sent.get(message.sequence)
    if (pending === undefined || message.type === NLMSG_NOOP) return
    this.#settleBefore(pending)
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) pending.interrupted = true
    if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
      this.#settle(pending, decodeAcknowledgement(message))
      return
    }
    try {
      pending.request.onReply?.(message)
    } catch (error) {
      pending.failure ??= error instanceof Malformed ? malformedAnswer(error, pending.request) : error
    }
    // A single answer settles its request, unless an acknowledgement was asked for too: settling twice does no harm.
    if ((message.flags & NLM_F_MULTI) === 0 && !pending.dump) this.#settle(pending, { errno: 0, extended: {} })
  }

  /** The kernel works in order: whatever was sent before an answered request has been done, or its refusal would be here. */
  #settleBefore(answered: Pending): void {
    for (const pending of this.#sent.values()) {
      if (pending === answered) return
      this.#settle(pending, { errno: 0, extended: {} })
    }
  }

  #settle(pending: Pending, acknowledgement: Acknowledgement): void {
    this.#sent.delete(pending.sequence)
    if (pending.dump) this.#dumping = false
    if (acknowledgement.errno !== 0) pending.reject(refusalOf(pending.request, acknowledgement))
    else if (pending.failure !== undefined) pending.reject(pending.failure)
    else pending.resolve({ interrupted: pending.interrupted })
  }

  #fail(pendings: Iterable<Pending>, cause: NetkitError): void {
    for (const pending of pendings) {
      if (!this.#sent.delete(pending.sequence)) continue
      if (pending.dump) this.#dumping = false
      const { syscall } = pending.request
      pending.reject(
        new NetkitError({
          message: wordsOf(pending.request),
          errno: -cause.errno,
          syscall,
          kernelMessage: cause.message,
          cause,
        }),
      )
    }
  }

  /** Answers were dropped (ENOBUFS), or receiving failed: what waits for one cannot know how it went. */
  #lost(error: number): void {
    this.#fail([...this.#sent.values()], systemError(error, 'recvmsg', "the kernel's answers were lost"))
  }
}

/** The refusal; the words for it are the caller's functions, and what they throw must not keep others from being settled. */
function refusalOf(request: Request, acknowledgement: Acknowledgement): unknown {
  try {
    return refusal(acknowledgement, request.bytes, request)
  } catch (error) {
    return error
  }
}

function malformedAnswer(error: Malformed, request: Request): NetkitError {
  return new NetkitError({
    message: wordsOf(request),
    errno: EBADMSG,
    syscall: request.syscall,
    kernelMessage: `the kernel's answer ${error.message}`,
    attribute: error.path.length === 0 ? undefined : error.path.slice(-2).join('.'),
  })
}
