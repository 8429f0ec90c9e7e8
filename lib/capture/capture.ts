/** Captures: what passes a link, a tap, a pump or an end, to a file or a stream. */
import type { Readable } from 'node:stream'
import { throwIfAborted } from '../errors.js'
import { type CaptureOptions, checkCaptureOptions } from './capture-options.js'
import { PcapngEncoder } from './encoder.js'
import { FileOutput } from './file-output.js'
import { type CaptureOutput, StreamOutput } from './output.js'
import { CaptureSource } from './source.js'
import { openSources } from './sources.js'

/** What a capture has done so far. */
export interface CaptureStats {
  /** Frames that were captured. */
  frames: number
  /** Bytes of these frames, as they were before they were cut to the snapshot length. */
  frameBytes: number
  /** Frames that passed, and were lost: what captures was too slow, or what it writes to. */
  dropped: number
  /** Bytes that were written, in all files. */
  bytes: number
  /** The file that is being written, with its number where captures are rotated. */
  file?: string
}

/** A capture that runs. It goes on, and keeps the process alive, until it is closed or its signal fires. */
export class Capture {
  /**
   * Resolves when the capture has ended and all of it is written, with what it has done. Rejects when it ended by itself: the link
   * was deleted (ENODEV), the file could not be written (ENOSPC …). What was captured until then is in the file, as far as there is one.
   */
  readonly done: Promise<CaptureStats>
  readonly #output: CaptureOutput
  readonly #sources: readonly CaptureSource[]
  readonly #stream: Readable | undefined
  #ending = false

  /** @internal */
  constructor(sources: readonly CaptureSource[], output: CaptureOutput, signal: AbortSignal | undefined) {
    this.#sources = sources
    this.#output = output
    this.#stream = output instanceof StreamOutput ? output.stream : undefined
    const end = () => this.#end()
    signal?.addEventListener('abort', end, { once: true })
    this.done = this.#run().finally(() => signal?.removeEventListener('abort', end))
    // Whoever wants to know asks `done` or `close`.
    this.done.catch(() => {})
    if (signal?.aborted) this.#end()
  }

  /**
   * The bytes of a pcapng file as they come, of a capture that has no file.
   *
   * @throws Error (ERR_INVALID_STATE) when it has one.
   */
  get stream(): Readable {
    if (this.#stream !== undefined) return this.#stream
    throw Object.assign(new Error('this capture goes to a file: without one, it has a stream'), {
      code: 'ERR_INVALID_STATE',
    })
  }

  stats(): CaptureStats {
    const sum = (key: 'frames' | 'frameBytes' | 'dropped') => this.#sources.reduce((total, one) => total + one[key], 0)
    const { bytes, file } = this.#output
    return {
      frames: sum('frames'),
      frameBytes: sum('frameBytes'),
      dropped: sum('dropped'),
      bytes,
      ...(file === undefined ? {} : { file }),
    }
  }

  async #run(): Promise<CaptureStats> {
    const output = this.#output
    void output.ended.then(() => this.#end())
    const runs = this.#sources.map((source) => source.run(output))
    let failure: { error: unknown } | undefined
    for (const run of runs) {
      run.catch((error) => {
        failure ??= { error }
        this.#end()
      })
    }
    // The last that ends by itself ends the capture: an end that was closed has no more frames.
    await Promise.allSettled(runs)
    this.#ending = true
    await Promise.allSettled(this.#sources.map((source) => source.close()))
    try {
      await output.finish()
    } catch (error) {
      failure = { error }
    }
    if (failure !== undefined) throw failure.error
    return this.stats()
  }

  #end(): void {
    if (this.#ending) return
    this.#ending = true
    this.#output.hurry()
    for (const source of this.#sources) source.end()
  }

  /**
   * Ends the capture: what has passed until now is written, and the file or stream is complete. Resolves when it is, and rejects
   * with what `done` rejects with. Idempotent.
   */
  async close(): Promise<void> {
    this.#end()
    await this.done
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Captures frames into a pcapng file, or a stream of one, with the kernel's times, directions and counts of what was lost. Resolves
 * when capturing has begun: what passes from then on is in it.
 *
 * A `signal` ends the capture as `close()` does, without an error; when it has fired before the beginning, this rejects with an
 * AbortError.
 *
 * @throws TypeError, RangeError (ERR_INVALID_ARG_…) when an option is wrong; NetkitError ENODEV when there is no such link, EPERM
 * without CAP_NET_RAW (packet(7)); Node's own error (ENOENT, EACCES …) when the file cannot be made.
 */
export async function capture(options: CaptureOptions): Promise<Capture> {
  checkCaptureOptions(options)
  const { file, rotate, snapshotLength, comment, signal } = options
  throwIfAborted(signal, 'capturing')
  const parts = await openSources(options)
  const sources = parts.map((one, i) => new CaptureSource(one, i))
  try {
    throwIfAborted(signal, 'capturing')
    const encoder = new PcapngEncoder({
      ...(snapshotLength === undefined ? {} : { snapshotLength }),
      ...(comment === undefined ? {} : { comment }),
    })
    const around = {
      encoder,
      begin: () => Buffer.concat([encoder.section(), ...sources.map((one) => encoder.interface(one.description))]),
      end: () => Buffer.concat(sources.map((one, i) => encoder.statistics(i, one.statistics))),
    }
    const output = file === undefined ? new StreamOutput(around) : await FileOutput.open(file, rotate, around)
    return new Capture(sources, output, signal)
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.close()))
    throw error
  }
}
