import { type ErrnoName, errnoMeaning, errnoName, errnoNumber } from './errno.js'

/** What a NetkitError is made of. */
export interface NetkitErrorDetails {
  /** What was being done, in words: `cannot create veth1`. */
  message: string
  /** A positive Linux errno. */
  errno: number
  /** The system call, ioctl or netlink message that failed. */
  syscall: string
  /** The kernel's own words, from the extended acknowledgement. */
  kernelMessage?: string | undefined
  /** The attribute that the kernel points at, with its container: `IFLA_INFO_DATA.IFLA_VXLAN_ID`. */
  attribute?: string | undefined
  /** For EPERM and EACCES: what is missing, and where. */
  hint?: string | undefined
  cause?: unknown
}

/**
 * A refusal by the kernel, or by netkit in the kernel's terms.
 *
 * `message` reads `<what was being done>: <the kernel's words, or the errno's meaning> (<code>, <syscall>[, <attribute>])[; <hint>]`.
 */
export class NetkitError extends Error {
  override readonly name = 'NetkitError'
  /** The errno's name: 'EEXIST', 'ENODEV', 'EPERM' … (errno(3)). */
  readonly code: string
  /** The errno, negative as in Node's own system errors. */
  readonly errno: number
  /** The netlink message ('RTM_NEWLINK'), ioctl ('TUNSETIFF') or system call ('setns') that failed. */
  readonly syscall: string
  /** The kernel's own words from the extended acknowledgement (NLMSGERR_ATTR_MSG), when it gave any. */
  declare readonly kernelMessage?: string
  /** The attribute that the kernel points at, by its kernel name with its container's: 'IFLA_INFO_DATA.IFLA_VXLAN_ID'. */
  declare readonly attribute?: string
  /** For EPERM and EACCES: which capability is missing in which user namespace, and what to do. */
  declare readonly hint?: string
  /** What went wrong when the steps before the failed one were undone: something half-made may be left. */
  declare undoFailure?: unknown
  /** Of a call that made many requests, when some failed: the errors of the first hundred, this one first. */
  declare readonly errors?: readonly unknown[]
  /** How many of them failed. */
  declare readonly failed?: number

  constructor(details: NetkitErrorDetails) {
    const code = errnoName(details.errno)
    const said = details.kernelMessage || errnoMeaning(details.errno)
    const where = [code, details.syscall, details.attribute].filter((part) => part !== undefined).join(', ')
    const hint = details.hint === undefined ? '' : `; ${details.hint}`
    super(
      `${details.message}: ${said} (${where})${hint}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.code = code
    this.errno = -details.errno
    this.syscall = details.syscall
    if (details.kernelMessage) this.kernelMessage = details.kernelMessage
    if (details.attribute !== undefined) this.attribute = details.attribute
    if (details.hint !== undefined) this.hint = details.hint
  }
}

/** A NetkitError from a negative result of the addon. */
export function systemError(
  result: number,
  syscall: string,
  message: string,
  more: { hint?: string | undefined; cause?: unknown } = {},
): NetkitError {
  return new NetkitError({ message, errno: -result, syscall, ...more })
}

/** A NetkitError that netkit itself raises, in the kernel's terms. */
export function namedError(code: ErrnoName, syscall: string, message: string, cause?: unknown): NetkitError {
  return new NetkitError({ message, errno: errnoNumber(code), syscall, cause })
}

/** An Error with the code ERR_INVALID_STATE: what is asked for is right, and cannot be done now. */
export function stateError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_STATE' })
}

/** What a `waitFor` ends with when its time is over. */
export function lateError(syscall: string, message: string, timeout: number): NetkitError {
  return new NetkitError({
    message,
    errno: errnoNumber('ETIMEDOUT'),
    syscall,
    kernelMessage: `not so within ${timeout} ms`,
  })
}

/** True for a positive errno that is about privileges: EPERM and EACCES, whose errors come with a hint. */
export function isDenied(errno: number): boolean {
  return errno === errnoNumber('EPERM') || errno === errnoNumber('EACCES')
}

/** True for a NetkitError with this code. */
export function hasCode(error: unknown, ...codes: ErrnoName[]): error is NetkitError {
  return error instanceof NetkitError && (codes as string[]).includes(error.code)
}

/** What waits on something that is closed, or whose signal fires, is rejected with this: name 'AbortError', code 'ABORT_ERR'. */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'
  /** As of NetkitError. */
  declare undoFailure?: unknown
  declare readonly errors?: readonly unknown[]
  declare readonly failed?: number

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
  }
}

/** Throws an AbortError, with the signal's reason as its cause, when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new AbortError(`${what} was aborted`, signal.reason)
}

/**
 * Gives an error that was made where an answer arrived the stack of the async functions that wait for it: the caller's line is
 * in it, which V8 finds only from inside an async function.
 */
export function atCaller(error: unknown): unknown {
  if (error instanceof NetkitError || error instanceof AbortError) Error.captureStackTrace(error, atCaller)
  return error
}

/**
 * The later steps of making something. When they fail, what was made is undone, and the first error stays the error; if undoing
 * fails too, that is its `undoFailure`.
 */
export async function undoOnFailure<T>(steps: () => Promise<T>, undo: () => Promise<unknown>): Promise<T> {
  try {
    return await steps()
  } catch (error) {
    try {
      await undo()
    } catch (failure) {
      if (error instanceof NetkitError || error instanceof AbortError) error.undoFailure = failure
    }
    throw error
  }
}
