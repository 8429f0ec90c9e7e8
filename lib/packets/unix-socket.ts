/** One Unix socket of this environment: waiting for it, sending and receiving descriptors on it, closing it. */
import { errnoNumber } from '../errno.js'
import { AbortError, NetkitError, namedError, systemError, throwIfAborted } from '../errors.js'
import { native, type Poller } from '../native.js'
import { ReceivedDescriptors } from './received.js'
import type { UnixType } from './unix.js'

export const READABLE = 1
export const WRITABLE = 2

const EAGAIN = -errnoNumber('EAGAIN')

/** Bytes of data that a message may have. So many go into one buffer of the kernel's, so a stream keeps them together too. */
export const MOST_DATA = 32_768
/** The same of what others send: a stream's piece, or a whole datagram. */
const MOST_RECEIVED = 65_536
/** SCM_MAX_FD of the kernel's include/net/scm.h. */
export const MOST_DESCRIPTORS = 253

/** Where all messages are received: copied before anything else happens. */
const room = Buffer.allocUnsafeSlow(MOST_RECEIVED)
const NONE = new Uint32Array(0)

/** What a channel has carried. */
export interface DescriptorStats {
  messagesSent: number
  descriptorsSent: number
  messagesReceived: number
  descriptorsReceived: number
  /** Messages that were thrown away, with all their descriptors: too many, too long, or without room in this process. */
  messagesRefused: number
}

interface Wait {
  events: number
  ready(): void
  fail(error: Error): void
}

interface Outgoing {
  descriptors: readonly number[]
  /** What is still to be sent of it. */
  data: Uint8Array
  /** Whether the first byte is gone, and the descriptors with it. */
  begun: boolean
}

/** Never refers to the object that the user holds. */
export class UnixSocket {
  readonly stats: DescriptorStats = {
    messagesSent: 0,
    descriptorsSent: 0,
    messagesReceived: 0,
    descriptorsReceived: 0,
    messagesRefused: 0,
  }
  readonly #waits = new Set<Wait>()
  #poller: Poller | undefined
  #closed: Promise<void> | undefined
  /** The end of the last message that waits to be sent. */
  #sending: Promise<void> | undefined

  /** @param fd owned by the environment, and by nobody else from here on */
  constructor(
    readonly fd: number,
    readonly type: UnixType,
    readonly label: string,
  ) {}

  get closed(): boolean {
    return this.#closed !== undefined
  }

  check(syscall: string): void {
    if (this.closed) throw namedError('EBADF', syscall, `${this.label} is closed`)
  }

  /** Until the socket is readable or writable; the call that follows tells whether it is. */
  wait(events: number, what: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        this.#waits.delete(wait)
        signal?.removeEventListener('abort', aborted)
        finish()
      }
      const wait: Wait = {
        events,
        ready: () => settle(resolve),
        fail: (error) => settle(() => reject(error)),
      }
      const aborted = () => {
        wait.fail(new AbortError(`${what} was aborted`, signal?.reason))
        this.#watch()
      }
      signal?.addEventListener('abort', aborted)
      this.#waits.add(wait)
      this.#watch()
    })
  }

  #watch(): void {
    if (this.closed) return
    let events = 0
    for (const wait of this.#waits) events |= wait.events
    if (events === 0) {
      this.#poller?.stop()
      return
    }
    this.#poller ??= native.createPoller(this.fd, (status, events) => {
      // After an error libuv has stopped: everybody finds out what it is by trying.
      for (const wait of [...this.#waits]) if (status < 0 || (wait.events & events) !== 0) wait.ready()
      this.#watch()
    })
    const result = this.#poller.start(events)
    if (result === 0) return
    const error = systemError(result, 'epoll_ctl', `cannot wait for ${this.label}`)
    for (const wait of [...this.#waits]) wait.fail(error)
  }

  /** Sends one message after those that wait. The descriptors may be closed as soon as this has returned its promise. */
  async send(descriptors: readonly number[], data: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    this.check('sendmsg')
    throwIfAborted(signal, `sending over ${this.label}`)
    const message: Outgoing = { descriptors, data, begun: false }
    if (this.#sending === undefined && this.#push(message)) return
    // Numbers that are closed meanwhile may be somebody else's descriptors later.
    const copies = message.begun ? [] : duplicates(descriptors, this.label)
    message.descriptors = copies
    message.data = Uint8Array.from(message.data)
    const before = this.#sending
    const sent = (async () => {
      try {
        await before?.catch(() => {})
        await this.#pushAll(message, signal)
      } finally {
        for (const fd of copies) native.closeDescriptorNow(fd)
      }
    })()
    this.#sending = sent
    try {
      await sent
    } finally {
      if (this.#sending === sent) this.#sending = undefined
    }
  }

  async #pushAll(message: Outgoing, signal: AbortSignal | undefined): Promise<void> {
    const what = `sending over ${this.label}`
    for (;;) {
      this.check('sendmsg')
      if (!message.begun) throwIfAborted(signal, what)
      if (this.#push(message)) return
      // What has begun is ended: half a message would be taken for the beginning of the next.
      await this.wait(WRITABLE, what, message.begun ? undefined : signal)
    }
  }

  /** Sends what the kernel takes now; whether that was all. A stream may take a part; the descriptors go with its first byte. */
  #push(message: Outgoing): boolean {
    while (message.data.length > 0) {
      const descriptors = message.begun ? NONE : Uint32Array.from(message.descriptors)
      const sent = native.sendDescriptors(this.fd, message.data, descriptors)
      if (sent === EAGAIN) return false
      if (sent < 0) throw sendError(sent, this.label)
      message.begun = true
      message.data = message.data.subarray(sent)
      this.stats.descriptorsSent += descriptors.length
    }
    this.stats.messagesSent++
    return true
  }

  /** The next message; undefined when the other side has closed. */
  async receive(max: number, signal: AbortSignal | undefined): Promise<ReceivedDescriptors | undefined> {
    const what = `receiving from ${this.label}`
    for (;;) {
      this.check('recvmsg')
      throwIfAborted(signal, what)
      const arrived = native.receiveDescriptors(this.fd, room)
      if (arrived === EAGAIN) {
        await this.wait(READABLE, what, signal)
        continue
      }
      if (typeof arrived === 'number') throw systemError(arrived, 'recvmsg', `cannot receive from ${this.label}`)
      const { received, descriptors, cut, lost } = arrived
      if (cut || lost || descriptors.length > max) {
        this.stats.messagesRefused++
        await Promise.all(descriptors.map((fd) => native.closeDescriptor(fd)))
        throw refusal(this.label, descriptors.length, { cut, lost, max })
      }
      if (received === 0 && descriptors.length === 0) return undefined
      this.stats.messagesReceived++
      this.stats.descriptorsReceived += descriptors.length
      return new ReceivedDescriptors(descriptors, Buffer.from(room.subarray(0, received)))
    }
  }

  /** Whatever waits is rejected with an AbortError. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#poller?.close()
      this.#closed = native.closeDescriptor(this.fd).then(() => {})
      for (const wait of [...this.#waits]) wait.fail(new AbortError(`${this.label} was closed`))
    }
    return this.#closed
  }
}

function duplicates(descriptors: readonly number[], label: string): number[] {
  const copies: number[] = []
  for (const fd of descriptors) {
    const copy = native.duplicateDescriptor(fd)
    if (copy < 0) {
      for (const each of copies) native.closeDescriptorNow(each)
      throw systemError(copy, 'fcntl', `cannot keep descriptor ${fd} until ${label} takes it`)
    }
    copies.push(copy)
  }
  return copies
}

function sendError(result: number, label: string): NetkitError {
  const hints: Readonly<Record<number, string>> = {
    [-errnoNumber('ETOOMANYREFS')]:
      'as many descriptors of this user are on their way as RLIMIT_NOFILE allows: the others have to be received first',
    [-errnoNumber('EINVAL')]: 'it may be that one of them is itself a Unix socket on its way, too deep in another',
  }
  return systemError(result, 'sendmsg', `cannot send over ${label}`, { hint: hints[result] })
}

function refusal(
  label: string,
  count: number,
  { cut, lost, max }: { cut: boolean; lost: boolean; max: number },
): NetkitError {
  const message = `cannot receive from ${label}`
  if (lost) {
    return new NetkitError({
      message,
      errno: errnoNumber('EMFILE'),
      syscall: 'recvmsg',
      hint: `descriptors of a message were lost, and the ${count} that came were closed: this process may have no more (ulimit -n)`,
    })
  }
  return new NetkitError({
    message,
    errno: errnoNumber(cut ? 'EMSGSIZE' : 'E2BIG'),
    syscall: 'recvmsg',
    kernelMessage: cut
      ? `the message has more than ${MOST_RECEIVED} bytes`
      : `the message has ${count} descriptors, and at most ${max} were wanted`,
    hint: 'its descriptors were closed',
  })
}
