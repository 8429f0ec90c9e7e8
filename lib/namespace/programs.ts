/** Programs in a namespace. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { AbortError } from '../errors.js'
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  typeError,
} from '../validate.js'
import { handleOf } from './internal.js'
import type { Namespace } from './namespace.js'
import { runInside } from './run.js'

/** Options of `Namespace#exec`. */
export interface ExecOptions {
  /** Written to the program's standard input, which is then closed. Default: an empty standard input. */
  input?: string | Uint8Array
  /** Kills the program and rejects with an AbortError. */
  signal?: AbortSignal
  /** Kills the program after so many milliseconds and rejects with an ExecError. Default: no limit. */
  timeout?: number
  /** The environment. Default: the process's own. */
  env?: NodeJS.ProcessEnv
  /** The working directory. Default: the process's own. */
  cwd?: string | URL
  /** How output is decoded; 'buffer' gives Buffers. Default: 'utf8'. */
  encoding?: BufferEncoding | 'buffer'
  /** Bytes of standard output and of standard error that are taken, each. Default: 16 MiB. */
  maxBuffer?: number
  /** Whether a program that fails (an exit code other than 0, or a signal) rejects with an ExecError. Default: false. */
  check?: boolean
}

/** What a program did. */
export interface ExecResult<Output extends string | Buffer = string> {
  stdout: Output
  stderr: Output
  /** Null when a signal ended it. */
  exitCode: number | null
  /** The signal that ended it. */
  signal: NodeJS.Signals | null
}

export type ExecErrorCode = 'ERR_EXEC_FAILED' | 'ERR_EXEC_TIMEOUT' | 'ERR_EXEC_MAXBUFFER'

/** A program that was run by `exec` failed (with `check`), ran too long, or wrote too much. */
export class ExecError extends Error implements ExecResult<string | Buffer> {
  override readonly name = 'ExecError'
  readonly code: ExecErrorCode
  /** What it had written by then. */
  readonly stdout: string | Buffer
  readonly stderr: string | Buffer
  /** Null when a signal ended it, or when it has not ended yet. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null

  constructor(message: string, code: ExecErrorCode, result: ExecResult<string | Buffer>) {
    super(message)
    this.code = code
    this.stdout = result.stdout
    this.stderr = result.stderr
    this.exitCode = result.exitCode
    this.signal = result.signal
  }
}

const MAX_BUFFER = 16 * 1024 * 1024
/** The longest that setTimeout takes. */
const MAX_TIMEOUT = 0x7fffffff

/** child_process.spawn with the calling thread inside: the child is forked from it, and so is in its namespace. */
export function spawnInside(
  namespace: Namespace,
  file: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const handle = handleOf(namespace)
  return runInside(handle.descriptor, handle.label, () => spawn(file, args, options))
}

function checkExec(file: unknown, args: unknown, options: ExecOptions): void {
  checkString(file, 'file')
  if (!Array.isArray(args)) throw typeError('args', 'an array of strings', args)
  args.forEach((argument, i) => {
    checkString(argument, `args[${i}]`)
  })
  checkOptions(options, 'options', ['input', 'signal', 'timeout', 'env', 'cwd', 'encoding', 'maxBuffer', 'check'])
  const { input, timeout, encoding, maxBuffer, check } = options
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    throw typeError('options.input', 'a string or a Uint8Array', input)
  }
  checkSignal(options.signal, 'options.signal')
  if (timeout !== undefined) checkInteger(timeout, 'options.timeout', 1, MAX_TIMEOUT)
  if (encoding !== undefined && encoding !== 'buffer' && !Buffer.isEncoding(encoding)) {
    checkOneOf(encoding, 'options.encoding', ['utf8', 'latin1', 'hex', 'base64', 'buffer'])
  }
  if (maxBuffer !== undefined) checkInteger(maxBuffer, 'options.maxBuffer', 0, Number.MAX_SAFE_INTEGER)
  if (check !== undefined) checkBoolean(check, 'options.check')
}

/** What one output stream gave so far. */
class Output {
  readonly #chunks: Buffer[] = []
  #length = 0

  /** False when there is more than `maximum`; what is beyond is dropped. */
  add(chunk: Buffer, maximum: number): boolean {
    const room = maximum - this.#length
    this.#chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk)
    this.#length += Math.min(chunk.length, room)
    return chunk.length <= room
  }

  as(encoding: BufferEncoding | 'buffer'): string | Buffer {
    const whole = Buffer.concat(this.#chunks)
    return encoding === 'buffer' ? whole : whole.toString(encoding)
  }
}

/** Runs a program to its end. See `Namespace#exec`. */
export function execInside(
  namespace: Namespace,
  file: string,
  args: readonly string[],
  options: ExecOptions,
): Promise<ExecResult<string | Buffer>> {
  checkExec(file, args, options)
  const { input, signal, timeout, env, cwd, encoding = 'utf8', maxBuffer = MAX_BUFFER, check = false } = options
  const { label } = handleOf(namespace)
  if (signal?.aborted) return Promise.reject(new AbortError(`${file} in ${label} was aborted`, signal.reason))
  const child = spawnInside(namespace, file, args, {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
  })
  const stdout = new Output()
  const stderr = new Output()
  const result = () => ({
    stdout: stdout.as(encoding),
    stderr: stderr.as(encoding),
    exitCode: child.exitCode,
    signal: child.signalCode,
  })
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      finish()
    }
    /** Kills the program and does not wait: a descendant may keep its output open. */
    const stop = (error: Error) => {
      settle(() => reject(error))
      child.kill('SIGKILL')
      for (const stream of child.stdio) stream?.destroy()
    }
    const abort = () => stop(new AbortError(`${file} in ${label} was aborted`, signal?.reason))
    const tooMuch = () =>
      stop(new ExecError(`${file} in ${label} wrote more than ${maxBuffer} bytes`, 'ERR_EXEC_MAXBUFFER', result()))
    const tooLong = () =>
      stop(new ExecError(`${file} in ${label} ran longer than ${timeout} ms`, 'ERR_EXEC_TIMEOUT', result()))
    const timer = timeout === undefined ? undefined : setTimeout(tooLong, timeout)
    signal?.addEventListener('abort', abort, { once: true })
    child.on('error', (error) => settle(() => reject(error)))
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!stdout.add(chunk, maxBuffer)) tooMuch()
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      if (!stderr.add(chunk, maxBuffer)) tooMuch()
    })
    child.on('close', () => {
      const { exitCode, signalCode } = child
      settle(() => {
        if (!check || exitCode === 0) return resolve(result())
        const how = exitCode === null ? `was ended by ${signalCode}` : `ended with exit code ${exitCode}`
        const words = stderr.as('utf8').toString().trim()
        const message = `${file} in ${label} ${how}${words === '' ? '' : `: ${words.slice(0, 500)}`}`
        reject(new ExecError(message, 'ERR_EXEC_FAILED', result()))
      })
    })
    // A program that ends before it has read its input is no error.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}
