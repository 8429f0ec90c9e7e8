/** Ends that are never full, because what they are written to is an interface: a pipe from one to another needs no stream. */
import type { BatchListener } from './batch-readers.js'
import { deviceOf, PacketEnd } from './end.js'

/** A pipe without a stream. */
interface DirectPipe {
  target: InterfaceEnd
  options: { end?: boolean } | undefined
  listener: BatchListener
  stop(): void
}

/**
 * A packet end of an interface (a tap, a tun, a macvtap, or a queue of one).
 *
 * `pipe()` from one such end to another carries batches instead of streams' chunks, several times cheaper, as long as nobody else
 * looks at the frames: with a 'data' or 'readable' listener, a second `pipe()` or a `read()` it becomes an ordinary pipe.
 */
export abstract class InterfaceEnd extends PacketEnd {
  #direct: DirectPipe | undefined

  override pipe<T extends NodeJS.WritableStream>(target: T, options?: { end?: boolean }): T {
    if (this.#pipeDirectly(target, options)) return target
    this.#becomeOrdinary()
    return super.pipe(target, options)
  }

  #pipeDirectly(target: NodeJS.WritableStream, options: { end?: boolean } | undefined): boolean {
    const isUntouched =
      this.#direct === undefined &&
      this.readableFlowing === null &&
      !this.readableDidRead &&
      !this.destroyed &&
      this.listenerCount('data') === 0 &&
      this.listenerCount('readable') === 0
    // What waits in the target's own queue goes first.
    if (!isUntouched || !(target instanceof InterfaceEnd) || target.destroyed || target.writableLength > 0) return false
    if (target.writableEnded || deviceOf(this).layer3 !== deviceOf(target).layer3) return false
    let listener: BatchListener
    try {
      listener = this.onBatch((batch) => {
        try {
          target.writeBatch(batch)
        } catch (error) {
          target.destroy(error as Error)
        }
      })
    } catch {
      return false // It is read otherwise: the ordinary pipe says so.
    }
    const stop = () => {
      if (this.#direct === undefined) return
      this.#direct = undefined
      listener.close()
      this.off('close', closed).off('newListener', heard)
      target.off('close', ended).off('finish', ended)
    }
    // Whoever listens for frames gets them from the stream.
    const heard = (event: string | symbol) => {
      if (event === 'data' || event === 'readable') this.#becomeOrdinary()
    }
    const ended = () => {
      stop()
      target.emit('unpipe', this, { hasUnpiped: false })
    }
    const closed = () => {
      const { failure } = deviceOf(this)
      stop()
      // A stream that fails says so, and whoever pipes it is to listen.
      if (failure !== undefined && this.errored === null && this.listenerCount('error') === 0)
        this.emit('error', failure)
    }
    this.#direct = { target, options, listener, stop }
    this.once('close', closed).on('newListener', heard)
    target.once('close', ended).once('finish', ended)
    target.emit('pipe', this)
    return true
  }

  /** What is piped without a stream is piped with one from now on. */
  #becomeOrdinary(): void {
    const direct = this.#direct
    if (direct === undefined) return
    direct.stop()
    if (this.destroyed) return
    direct.target.emit('unpipe', this, { hasUnpiped: false })
    super.pipe(direct.target, direct.options)
  }

  override unpipe(target?: NodeJS.WritableStream): this {
    const direct = this.#direct
    if (direct === undefined) return super.unpipe(target)
    if (target !== undefined && target !== direct.target) return this
    direct.stop()
    direct.target.emit('unpipe', this, { hasUnpiped: false })
    return this
  }

  // biome-ignore lint/suspicious/noExplicitAny: as Node has it
  override read(size?: number): any {
    this.#becomeOrdinary()
    return super.read(size)
  }

  override pause(): this {
    if (this.#direct === undefined) return super.pause()
    this.#direct.listener.pause()
    return this
  }

  override resume(): this {
    if (this.#direct === undefined) return super.resume()
    this.#direct.listener.resume()
    return this
  }

  override isPaused(): boolean {
    return this.#direct?.listener.paused ?? super.isPaused()
  }
}
