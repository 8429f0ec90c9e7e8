/** Descriptors that came from another process, until somebody takes them. */
import { type InspectOptions, inspect } from 'node:util'
import { systemError } from '../errors.js'
import { LeakGuard } from '../namespace/leaks.js'
import { native } from '../native.js'

/** Descriptors that are held for somebody, by number. */
const holders = new Map<number, Holder>()

const guard = new LeakGuard('message with descriptors')

/** Apart from the object that the user holds, which may be forgotten. */
class Holder {
  readonly fds: number[]
  #closed: Promise<void> | undefined

  constructor(fds: readonly number[]) {
    this.fds = [...fds]
    for (const fd of fds) holders.set(fd, this)
  }

  get closed(): boolean {
    return this.fds.length === 0
  }

  take(fd: number): boolean {
    const place = this.fds.indexOf(fd)
    if (place < 0) return false
    this.fds.splice(place, 1)
    return holders.delete(fd)
  }

  close(): Promise<void> {
    const closing = this.fds.splice(0).map((fd) => {
      holders.delete(fd)
      return native.closeDescriptor(fd)
    })
    if (closing.length > 0) this.#closed = Promise.all([this.#closed, ...closing]).then(() => {})
    return this.#closed ?? Promise.resolve()
  }
}

/**
 * Makes the environment the owner of a descriptor that is the user's, or that came in a message, and the caller the one who closes it. It
 * becomes close-on-exec and, with `nonBlocking`, non-blocking for all who share it. ERR_INVALID_STATE when another object here holds
 * it; EBADF.
 */
export function takeOver(fd: number, nonBlocking: boolean): void {
  if (holders.get(fd)?.take(fd) !== true && native.disownDescriptor(fd)) {
    native.ownDescriptor(fd)
    const error = new Error(`descriptor ${fd} is held already: its holder has to release() it first`)
    throw Object.assign(error, { code: 'ERR_INVALID_STATE' })
  }
  const result = native.adoptDescriptor(fd, nonBlocking ? 1 : 0)
  if (result < 0) throw systemError(result, 'fcntl', `cannot take over descriptor ${fd}`)
}

/**
 * What one message brought. The descriptors are close-on-exec, and are closed with this object (`close()`, `await using`), when it
 * is forgotten, or at the end of the process or worker thread; those that were taken before, by `release()` or by `adoptTap`, are not.
 */
export class ReceivedDescriptors implements AsyncDisposable {
  /** The data that came with them; at least one byte, unless the other side sent a datagram without any. */
  readonly data: Buffer
  readonly #holder: Holder

  /** @internal */
  constructor(descriptors: readonly number[], data: Buffer) {
    this.data = data
    this.#holder = new Holder(descriptors)
    if (descriptors.length > 0) guard.watch(this, this.#holder)
  }

  /** The descriptors that nobody has taken yet, in the order in which they were sent. */
  get fds(): readonly number[] {
    return [...this.#holder.fds]
  }

  /** Hands the descriptors over to the caller: netkit closes none of them any more. */
  release(): number[] {
    const fds = [...this.#holder.fds]
    for (const fd of fds) {
      this.#holder.take(fd)
      native.disownDescriptor(fd)
    }
    guard.forget(this.#holder)
    return fds
  }

  /** Closes those that nobody has taken. Idempotent. */
  async close(): Promise<void> {
    guard.forget(this.#holder)
    await this.#holder.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `ReceivedDescriptors ${inspect({ data: this.data, fds: this.fds }, options)}`
  }
}
