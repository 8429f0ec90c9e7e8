/**
 * A netlink socket for requests. Requests of one tick travel together: they are sent from the addon's work thread in chunks,
 * only the last of a chunk asks for an acknowledgement (the kernel answers in order, and errors come without asking), and each
 * promise is settled by its own sequence number.
 */
import { AbortError, NetkitError, systemError } from '../errors.js'
import { type ExchangeResult, native, type Poller } from '../native.js'
import { type Acknowledgement, decodeAcknowledgement, wordsOf } from './acknowledgement.js'
import { Malformed } from './attribute.js'
import { Batch, BatchChunk, type BatchSource, startBatch } from './batch.js'
import { align4, LITTLE_ENDIAN, type Source, sourceOf } from './bytes.js'
import { type Message, messageAt, netlinkConstants } from './message.js'
import { EBADMSG, failureOf, malformedAnswer, type Outcome, type Pending, type Request, refusalOf } from './request.js'
import { isLoss, openNetlinkSocket, receiveBufferOf, returnSlab, takeSlab } from './socket.js'
import { isTraced, isUnderTrace, traced } from './trace.js'
import { type Entry, UnderWay } from './under-way.js'

export type { Outcome, Request } from './request.js'

const { NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP } = netlinkConstants

/** Bytes and requests that a chunk may have: of those that have a promise each, and of a batch. */
const CHUNK_BYTES = 32 * 1024
const CHUNK_REQUESTS = 16
const BATCH_REQUESTS = 512
/** What an answer takes of the receive buffer, with the kernel's overhead: an interface with all its attributes, a refusal. */
const ANSWER_BYTES = 10 * 1024
const REFUSAL_BYTES = 2 * 1024
/** Chunks under way: while the kernel works on one, the next is put together and the one before is read. */
const CHUNKS_UNDER_WAY = 2
/** Answers are dealt with for so many milliseconds in one turn of the event loop, and what they lead to. */
const SLICE = 1
/** So many requests are settled before what waits for them runs, and the clock is looked at. */
const SETTLED_AT_ONCE = 8
/** The same for messages, which settle nothing but are looked at: those of a dump. */
const READ_AT_ONCE = 256

/** What an exchange brought. */
interface Delivery {
  readonly slab: Uint8Array
  readonly source: Source
  readonly length: number
  offset: number
  /** What was under way when answers were lost, and what the loss was. */
  readonly lost: { entries: Entry[]; error: number } | undefined
}

export class NetlinkConnection {
  /** -1 until the socket is open. */
  #fd = -1
  #receiveBuffer = 0
  readonly #opening: Promise<void>
  /** Not sent yet: those from `#head` on. */
  readonly #waiting: (Pending | Batch)[] = []
  #head = 0
  readonly #sent: UnderWay
  readonly #inbox: Delivery[] = []
  #underWay = 0
  #dumping = false
  /** Answers wait in the socket: nothing is sent before they are read, or there would be no room for more. */
  #backlog = false
  #scheduled = false
  #reading = false
  #sliceEnd = 0
  #poller: Poller | undefined
  #closing: Promise<void> | undefined

  /**
   * Opens a connection in a namespace, by descriptor (-1: the environment's own). It can be used at once: what is asked for
   * meanwhile is sent when the socket is open, or rejected with the error of that. Requests are numbered from `sequence` + 1.
   */
  constructor(namespace: number, protocol: number, sequence = 0) {
    this.#sent = new UnderWay(sequence)
    this.#opening = this.#open(namespace, protocol)
    this.#opening.catch(() => {})
  }

  /** The same, when it is open. */
  static async open(namespace: number, protocol: number, sequence = 0): Promise<NetlinkConnection> {
    const connection = new NetlinkConnection(namespace, protocol, sequence)
    await connection.opened()
    return connection
  }

  /** Resolves when the socket is open. Rejects when it could not be, or the connection was closed before. */
  async opened(): Promise<void> {
    await this.#opening
    if (this.#closing !== undefined) throw new AbortError('the netlink connection was closed')
  }

  async #open(namespace: number, protocol: number): Promise<void> {
    try {
      const fd = await openNetlinkSocket(namespace, protocol)
      this.#fd = fd
      if (this.#closing !== undefined) return
      this.#receiveBuffer = receiveBufferOf(fd)
    } catch (error) {
      this.#closing ??= Promise.resolve()
      this.#abandon(() => error)
      throw error
    }
    this.#send()
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /**
   * Sends a request, and settles when the kernel has dealt with it: with an Outcome, or with the NetkitError of its refusal.
   * Requests are dealt with in the order of the calls.
   */
  request(request: Request): Promise<Outcome> {
    if (isTraced() && !isUnderTrace(request)) return traced(request, (one) => this.request(one))
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

  /**
   * Sends many requests that change something, in their order, between those of the calls before and after; they are pulled
   * as the kernel takes them. Settles when all are done. Rejects with the first error, which has the first hundred in `errors`
   * and their number in `failed`; the other requests are sent all the same.
   */
  requestMany<T>(source: BatchSource<T>, signal?: AbortSignal): Promise<void> {
    const { batch, settled } = startBatch(source, signal, () => this.#schedule())
    if (this.#closing === undefined) this.#waiting.push(batch)
    else batch.abandon(new AbortError(`${batch.what}: the connection is closed`))
    this.#schedule()
    return settled
  }

  /** Closes the socket. What waits is rejected with an AbortError. Resolves when the descriptor is closed; idempotent. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#poller?.close()
      this.#closing = this.#closeSocket()
      this.#abandon((words) => new AbortError(`${words}: the connection was closed`))
    }
    return this.#closing
  }

  async #closeSocket(): Promise<void> {
    if (this.#fd < 0) await this.#opening.catch(() => {})
    if (this.#fd >= 0) await native.closeDescriptor(this.#fd)
  }

  /** Rejects everything; `error` makes an error from the words for what was being done. */
  #abandon(error: (words: string) => unknown): void {
    const waiting = [...this.#sent.all(), ...this.#waiting.splice(0).slice(this.#head)]
    this.#head = 0
    this.#sent.clear()
    for (const delivery of this.#inbox.splice(0)) returnSlab(delivery.slab)
    for (const entry of waiting) {
      if (entry instanceof Batch) entry.abandon(error(entry.what))
      else if (entry instanceof BatchChunk) entry.batch.abandon(error(entry.batch.what))
      else entry.reject(error(wordsOf(entry.request)))
    }
  }

  /** At the end of this tick: after every promise callback that is ready to run, so that what they ask for travels along. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    afterCallbacks(() => {
      this.#scheduled = false
      this.#send()
    })
  }

  #send(): void {
    while (
      this.#closing === undefined &&
      this.#fd >= 0 &&
      this.#head < this.#waiting.length &&
      this.#underWay + this.#inbox.length < CHUNKS_UNDER_WAY &&
      !this.#dumping &&
      !this.#backlog
    ) {
      const next = this.#waiting[this.#head] as Pending | Batch
      if (next instanceof Batch) this.#sendBatch(next)
      else {
        const chunk = this.#takeChunk()
        void this.#exchange(this.#write(chunk), chunk)
      }
    }
  }

  #sendBatch(batch: Batch): void {
    const count = Math.max(1, Math.min(BATCH_REQUESTS, Math.floor(this.#receiveBuffer / REFUSAL_BYTES)))
    const chunk = batch.take(this.#sent.reserve(count), CHUNK_BYTES, count)
    // It stays at the head of those that wait until its source is empty.
    if (batch.drained) this.#advanceHead(1)
    if (chunk === undefined) return
    const { writer, lastOffset } = chunk
    const { view } = writer
    view.setUint16(lastOffset + 6, view.getUint16(lastOffset + 6, LITTLE_ENDIAN) | NLM_F_ACK, LITTLE_ENDIAN)
    this.#sent.addChunk(chunk)
    void this.#exchange(writer.bytes.subarray(0, writer.length), [chunk])
  }

  /**
   * The next requests that fit together, and whose answers fit in half of the receive buffer, as two chunks are under way. (It
   * holds twice what was asked for: socket(7).) A dump ends its chunk, as the kernel runs one dump a socket at a time.
   */
  #takeChunk(): Pending[] {
    const chunk: Pending[] = []
    let size = 0
    let answers = 0
    for (let i = this.#head; i < this.#waiting.length; i++) {
      const entry = this.#waiting[i] as Pending | Batch
      if (entry instanceof Batch) break
      const { request, dump } = entry
      size += align4(request.bytes.length)
      answers += request.onReply === undefined ? REFUSAL_BYTES : ANSWER_BYTES
      if (
        chunk.length > 0 &&
        (size > CHUNK_BYTES || answers > this.#receiveBuffer || chunk.length === CHUNK_REQUESTS)
      ) {
        break
      }
      chunk.push(entry)
      if (dump) {
        this.#dumping = true
        break
      }
    }
    this.#advanceHead(chunk.length)
    return chunk
  }

  #advanceHead(count: number): void {
    this.#head += count
    // Cut off now and then: each time would move all that wait for each few that go.
    if (2 * this.#head >= this.#waiting.length) {
      this.#waiting.splice(0, this.#head)
      this.#head = 0
    }
  }

  /** Puts the requests one after another, numbered; the last asks for an acknowledgement (a dump has its NLMSG_DONE). */
  #write(chunk: readonly Pending[]): Uint8Array {
    let size = 0
    for (const { request } of chunk) size += align4(request.bytes.length)
    const bytes = new Uint8Array(size)
    const view = new DataView(bytes.buffer)
    let offset = 0
    let last = 0
    for (const pending of chunk) {
      const { request } = pending
      bytes.set(request.bytes, offset)
      view.setUint32(offset + 8, this.#sent.add(pending), LITTLE_ENDIAN)
      last = offset
      offset += align4(request.bytes.length)
    }
    if (chunk.at(-1)?.dump === false) {
      view.setUint16(last + 6, view.getUint16(last + 6, LITTLE_ENDIAN) | NLM_F_ACK, LITTLE_ENDIAN)
    }
    return bytes
  }

  /** Sends a chunk, or nothing, and takes in what the kernel has answered so far. */
  async #exchange(bytes: Uint8Array, chunk: readonly Entry[]): Promise<void> {
    this.#underWay++
    const slab = takeSlab()
    let result: ExchangeResult
    try {
      result = await native.exchange(this.#fd, bytes, slab)
    } catch (error) {
      returnSlab(slab)
      throw error
    }
    this.#underWay--
    const { sent, received, error, more } = result
    if (this.#closing !== undefined || (received === 0 && error === 0)) returnSlab(slab)
    if (this.#closing !== undefined) return
    if (sent < 0) this.#fail(chunk, systemError(sent, 'sendmsg', 'cannot send a netlink request'))
    // After a loss nothing is sent until the socket's queue is empty.
    this.#backlog = more || isLoss(error)
    if (received > 0 || error < 0) {
      const lost = error < 0 ? { entries: this.#sent.all(), error } : undefined
      this.#inbox.push({ slab, source: sourceOf(slab), length: received, offset: 0, lost })
    }
    // While these answers are read, the kernel gives more of them, or works on what is sent next.
    this.#goOn()
    this.#read()
  }

  /** Receives what waits in the socket, or sends what waits here. */
  #goOn(): void {
    if (this.#closing !== undefined) return
    if (!this.#backlog) this.#send()
    else if (this.#underWay === 0 && this.#inbox.length < CHUNKS_UNDER_WAY) void this.#exchange(new Uint8Array(0), [])
  }

  /** Starts to deal with what was received, unless that is under way. */
  #read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#sliceEnd = performance.now() + SLICE
    this.#readSome()
  }

  /**
   * Deals with some answers. What waits for them runs before the next are dealt with, and when the slice of time is over, the
   * event loop has its turn.
   */
  readonly #readSome = (): void => {
    const [delivery] = this.#inbox
    if (delivery !== undefined) {
      this.#deal(delivery)
      // A caller's function may have closed the connection, and the descriptor may be another one by now.
      if (this.closed) return
      if (delivery.offset >= delivery.length) {
        this.#inbox.shift()
        returnSlab(delivery.slab)
        if (delivery.lost !== undefined) this.#lost(delivery.lost.entries, delivery.lost.error)
      }
      this.#goOn()
    }
    if (this.#inbox.length === 0) {
      this.#reading = false
      this.#rest()
    } else if (performance.now() < this.#sliceEnd) afterCallbacks(this.#readSome)
    else setImmediate(this.#nextSlice)
  }

  readonly #nextSlice = (): void => {
    if (this.closed) return
    this.#sliceEnd = performance.now() + SLICE
    this.#readSome()
  }

  /** Nothing is left to be read. rtnetlink has answered by now; other protocols may answer later. */
  #rest(): void {
    if (this.#underWay > 0 || this.#backlog) return
    if (this.#sent.size > 0) this.#wait()
    else this.#poller?.stop()
  }

  /** Asks to be called when the socket is readable. */
  #wait(): void {
    // The status does not matter: what ails the socket is what reading it says.
    this.#poller ??= native.createPoller(this.#fd, () => {
      this.#poller?.stop()
      if (this.#underWay === 0 && this.#inbox.length === 0) void this.#exchange(new Uint8Array(0), [])
    })
    const status = this.#poller.start(1)
    if (status < 0) this.#fail(this.#sent.all(), systemError(status, 'poll', 'cannot wait for an answer'))
  }

  #deal(delivery: Delivery): void {
    const { source, length } = delivery
    const before = this.#sent.size
    try {
      for (let count = 0; delivery.offset < length && count < READ_AT_ONCE; count++) {
        const message = messageAt(source, delivery.offset, length)
        delivery.offset = align4(message.end)
        this.#receive(message)
        if (this.#closing !== undefined || before - this.#sent.size >= SETTLED_AT_ONCE) return
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      delivery.offset = length
      // Nobody can tell any more which answer is whose.
      const failure = new NetkitError({
        message: `the kernel's answer ${error.message}`,
        errno: EBADMSG,
        syscall: 'recvmsg',
      })
      this.#fail(this.#sent.all(), failure)
    }
  }

  #receive(message: Message): void {
    const { sequence, type } = message
    const entry = this.#sent.find(sequence)
    if (entry === undefined || type === NLMSG_NOOP) return
    this.#settleBefore(entry)
    if (entry instanceof BatchChunk) {
      if (type !== NLMSG_ERROR) return
      entry.answered(sequence, decodeAcknowledgement(message))
      if (sequence === entry.last) this.#settle(entry)
      return
    }
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) entry.interrupted = true
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      this.#settle(entry, decodeAcknowledgement(message))
      return
    }
    try {
      entry.request.onReply?.(message)
    } catch (error) {
      entry.failure ??= error instanceof Malformed ? malformedAnswer(error, entry.request) : error
    }
    // A single answer settles its request, unless an acknowledgement was asked for too: settling twice does no harm.
    if ((message.flags & NLM_F_MULTI) === 0 && !entry.dump) this.#settle(entry)
  }

  /** The kernel works in order: whatever was sent before an answered request has been done, or its refusal would be here. */
  #settleBefore(answered: Entry): void {
    for (let entry = this.#sent.before(answered); entry !== undefined; entry = this.#sent.before(answered)) {
      this.#settle(entry)
    }
  }

  #settle(entry: Entry, acknowledgement?: Acknowledgement): void {
    if (entry instanceof BatchChunk) {
      if (this.#forget(entry)) entry.batch.over(entry)
      return
    }
    this.#forget(entry)
    if (acknowledgement !== undefined && acknowledgement.errno !== 0) {
      entry.reject(refusalOf(entry.request.bytes, entry.request, acknowledgement))
    } else if (entry.failure !== undefined) entry.reject(entry.failure)
    else entry.resolve({ interrupted: entry.interrupted })
  }

  /** False when it was settled already. */
  #forget(entry: Entry): boolean {
    if (!this.#sent.remove(entry)) return false
    if (!(entry instanceof BatchChunk) && entry.dump) this.#dumping = false
    return true
  }

  #fail(entries: Iterable<Entry>, cause: NetkitError): void {
    for (const entry of entries) {
      if (!this.#forget(entry)) continue
      if (entry instanceof BatchChunk) entry.batch.lost(entry, (description) => failureOf(description, cause))
      else entry.reject(failureOf(entry.request, cause))
    }
  }

  /** Answers were dropped (ENOBUFS), or receiving failed: what waits for one cannot know how it went. */
  #lost(entries: readonly Entry[], error: number): void {
    this.#fail(entries, systemError(error, 'recvmsg', "the kernel's answers were lost"))
  }
}

/** Calls back after every promise callback that is ready to run, and those that these make ready. */
function afterCallbacks(callback: () => void): void {
  queueMicrotask(() => process.nextTick(callback))
}
