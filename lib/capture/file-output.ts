/** Captures to files: written beside the event loop, and begun anew when they are large or old. */
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join, parse } from 'node:path'
import type { EncodedFrames } from './encoder.js'
import { type CaptureOutput, type Surroundings, Waiting } from './output.js'

/** When a capture begins a new file. Files are numbered: of 'left.pcapng' come 'left-00001.pcapng', 'left-00002.pcapng' … */
export interface CaptureRotation {
  /** The most bytes a file has, from 4,096 on. Default: no limit. A single frame may be larger. */
  bytes?: number
  /** The longest time that a file is written to, in milliseconds, from 10 on. A file without frames goes on. Default: no limit. */
  interval?: number
  /** How many files are kept: the oldest of this capture is deleted before one too many is begun. Default: all. */
  files?: number
  /** Called with the path of each file that is complete, the last one included. */
  onFile?(file: string): void
}

/** Memory for frames on their way: what does not fit waits in the kernel, and what does not fit there is dropped and counted. */
const CHUNK = 256 * 1024
const CHUNKS = 16

interface Job {
  /** The file to be made before. */
  open?: string
  bytes: Buffer
  /** The chunk that is free after. */
  chunk?: Buffer
  /** The file is complete after. */
  last?: boolean
}

/** The path of a file of several. */
export function numberedPath(file: string, number: number): string {
  const { dir, name, ext } = parse(file)
  return join(dir, `${name}-${String(number).padStart(5, '0')}${ext}`)
}

export class FileOutput implements CaptureOutput {
  bytes = 0
  readonly ended: Promise<Error | undefined>
  readonly #path: string
  readonly #rotation: CaptureRotation | undefined
  readonly #surroundings: Surroundings
  readonly #free: Buffer[] = []
  readonly #jobs: Job[] = []
  readonly #waiting = new Waiting()
  readonly #kept: string[] = []
  #chunk: Buffer
  #used = 0
  #number = 0
  #file = ''
  /** Bytes and frames of the file that frames go to now. */
  #fileBytes = 0
  #fileFrames = 0
  /** Bytes that the end of the file will have. */
  #reserved = 0
  #handle: FileHandle | undefined
  #writing: Promise<void> | undefined
  #failure: Error | undefined
  #end: (error: Error | undefined) => void = () => {}
  #timer: NodeJS.Timeout | undefined

  private constructor(path: string, rotation: CaptureRotation | undefined, surroundings: Surroundings) {
    this.#path = path
    this.#rotation = rotation
    this.#surroundings = surroundings
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK)
    for (let i = 1; i < CHUNKS; i++) this.#free.push(Buffer.allocUnsafeSlow(CHUNK))
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  /** Begins the first file. Rejects with the system's error when it cannot be made. */
  static async open(path: string, rotation: CaptureRotation | undefined, around: Surroundings): Promise<FileOutput> {
    const output = new FileOutput(path, rotation, around)
    output.#beginFile()
    await output.#writing
    if (output.#failure !== undefined) throw output.#failure
    const { interval } = rotation ?? {}
    if (interval !== undefined) output.#timer = setInterval(() => output.#age(), interval)
    return output
  }

  get file(): string {
    return this.#file
  }

  #beginFile(): void {
    this.#number++
    this.#file = this.#rotation === undefined ? this.#path : numberedPath(this.#path, this.#number)
    this.#fileBytes = this.#fileFrames = 0
    this.#add({ open: this.#file, bytes: this.#surroundings.begin() })
    this.#reserved = this.#surroundings.end().length
  }

  #endFile(): void {
    this.#flush()
    this.#add({ bytes: this.#surroundings.end(), last: true })
  }

  #age(): void {
    if (this.#fileFrames === 0 || this.#free.length === 0 || this.#failure !== undefined) return
    this.#endFile()
    this.#beginFile()
  }

  take(frames: EncodedFrames, start: number, end: number, index: number): number {
    if (this.#failure !== undefined) return end - start
    const { encoder } = this.#surroundings
    let next = start
    while (next < end) {
      const left = this.#left()
      const limit = Math.min(CHUNK, this.#used + left)
      // A file has one frame at least, however large.
      const alone = left < CHUNK && this.#fileFrames === 0
      const count = alone
        ? encoder.fill(this.#chunk, this.#used, CHUNK, frames, next, next + 1, index)
        : encoder.fill(this.#chunk, this.#used, limit, frames, next, end, index)
      if (count > 0) {
        const size = encoder.end - this.#used
        this.#used = encoder.end
        this.#fileBytes += size
        this.bytes += size
        this.#fileFrames += count
        next += count
      } else if (!alone && limit < CHUNK) {
        if (this.#free.length === 0) break
        this.#endFile()
        this.#beginFile()
      } else if (!this.#nextChunk()) break
    }
    // While one piece is written, the next grows.
    if (this.#jobs.length === 0 && this.#writing === undefined) this.#flush()
    return next - start
  }

  /** How many bytes of frames the file has room for, its end reserved. */
  #left(): number {
    const { bytes } = this.#rotation ?? {}
    if (bytes === undefined) return Number.POSITIVE_INFINITY
    return Math.max(0, bytes - this.#fileBytes - this.#reserved)
  }

  /** Sends what the chunk has on its way. False when there is no other. */
  #nextChunk(): boolean {
    if (this.#used > 0 && this.#free.length > 0) this.#flush()
    return this.#used === 0
  }

  #flush(): void {
    if (this.#used === 0) return
    const chunk = this.#chunk
    const next = this.#free.pop()
    if (next === undefined) {
      // Only at the end of the capture: what is there goes out as a copy.
      this.#add({ bytes: Buffer.from(chunk.subarray(0, this.#used)) }, true)
    } else {
      this.#add({ bytes: chunk.subarray(0, this.#used), chunk }, true)
      this.#chunk = next
    }
    this.#used = 0
  }

  #add(job: Job, isCounted = false): void {
    if (!isCounted) {
      this.bytes += job.bytes.length
      this.#fileBytes += job.bytes.length
    }
    this.#jobs.push(job)
    this.#writing ??= this.#work()
  }

  async #work(): Promise<void> {
    try {
      while (this.#jobs.length > 0) {
        const group = this.#nextJobs()
        const [first] = group
        if (first?.open !== undefined) await this.#openFile(first.open)
        await this.#write(group.map(({ bytes }) => bytes))
        for (const { chunk } of group) if (chunk !== undefined) this.#free.push(chunk)
        this.#waiting.wake()
        if (group.at(-1)?.last === true) await this.#closeFile()
        if (this.#jobs.length === 0) this.#flush()
      }
    } catch (error) {
      await this.#fail(error as Error)
    }
    this.#writing = undefined
  }

  async #openFile(path: string): Promise<void> {
    const { files } = this.#rotation ?? {}
    if (files !== undefined && this.#kept.length >= files) {
      const oldest = this.#kept.shift() as string
      // Somebody may have taken it away already.
      await unlink(oldest).catch(() => {})
    }
    this.#handle = await open(path, 'w')
    this.#kept.push(path)
  }

  /** What can be written with one call: all that goes to the same file. */
  #nextJobs(): Job[] {
    const last = this.#jobs.findIndex((job, i) => job.last === true || this.#jobs[i + 1]?.open !== undefined)
    return this.#jobs.splice(0, last < 0 ? this.#jobs.length : last + 1)
  }

  async #write(parts: Buffer[]): Promise<void> {
    const handle = this.#handle as FileHandle
    for (let next = 0; next < parts.length; ) {
      let { bytesWritten } = await handle.writev(parts.slice(next))
      while (next < parts.length && bytesWritten >= (parts[next] as Buffer).length) {
        bytesWritten -= (parts[next] as Buffer).length
        next++
      }
      if (bytesWritten > 0) parts[next] = (parts[next] as Buffer).subarray(bytesWritten)
    }
  }

  async #closeFile(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
    const path = this.#kept.at(-1) as string
    // An error in there is the caller's, and no failure of the file.
    const { onFile } = this.#rotation ?? {}
    if (onFile !== undefined) queueMicrotask(() => onFile(path))
  }

  async #fail(error: Error): Promise<void> {
    this.#failure = error
    this.#jobs.length = 0
    this.#used = 0
    clearInterval(this.#timer)
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close().catch(() => {})
    this.#waiting.wake()
    this.#end(error)
  }

  async room(): Promise<void> {
    if (this.#failure === undefined && this.#free.length === 0) await this.#waiting.wait()
  }

  hurry(): void {}

  async finish(): Promise<void> {
    clearInterval(this.#timer)
    if (this.#failure === undefined) this.#endFile()
    while (this.#writing !== undefined) await this.#writing
    if (this.#failure !== undefined) throw this.#failure
  }
}
