/** Errors of Node's own functions as NetkitErrors. */
import { isDenied, NetkitError } from '../errors.js'

interface SystemError extends Error {
  errno: number
  code: string
  syscall: string
}

function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error) || error instanceof NetkitError) return false
  return typeof (error as Partial<SystemError>).errno === 'number' && 'syscall' in error
}

/** True for a system error of Node's with this code. */
export function failedWith(error: unknown, ...codes: string[]): error is SystemError {
  return isSystemError(error) && codes.includes(error.code)
}

/** A NetkitError from an error of `fs`, `net` or `dgram`; anything else is given back as it is. */
export function fromSystemError(error: unknown, message: string, hint?: () => string | undefined): unknown {
  if (!isSystemError(error)) return error
  return new NetkitError({
    message,
    errno: -error.errno,
    syscall: error.syscall,
    hint: isDenied(-error.errno) ? hint?.() : undefined,
    cause: error,
  })
}

/** The hint, when a negated errno is EPERM or EACCES. */
export function hintIfDenied(result: number, hint: () => string | undefined): string | undefined {
  return isDenied(-result) ? hint() : undefined
}
