/** Running a synchronous function with the calling thread inside another namespace. */
import { types } from 'node:util'
import { systemError } from '../errors.js'
import { native } from '../native.js'
import { checkFunction, typeError } from '../validate.js'
import { hintIfDenied } from './failure.js'
import { missingCapability } from './privileges.js'

/** How many `runInside` of this thread are under way, one in another. */
let depth = 0

const inside = 'because what follows an await would run outside of the namespace'

/** Refuses what cannot be synchronous before it is called. */
export function checkSynchronous(fn: unknown, name: string, why: string = inside): void {
  checkFunction(fn, name)
  if (types.isAsyncFunction(fn) || types.isGeneratorFunction(fn))
    throw typeError(name, `a synchronous function, ${why}`, fn)
}

/** Refuses a promise (or another thenable) that a function turned out to return. */
export function checkNotThenable(value: unknown, name: string, why: string = inside): void {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return
  if (typeof (value as { then?: unknown }).then !== 'function') return
  // The error below says what is wrong; a second report, of an unhandled rejection, would end the process.
  if (types.isPromise(value)) value.catch(() => {})
  throw typeError(name, `a synchronous function, ${why}`, value)
}

/**
 * Calls `fn` with the calling thread inside the namespace, gives back what it returns, and lets through what it throws.
 * A descriptor of -1 is the environment's own namespace, where no privilege is needed unless the call is nested.
 */
export function runInside<T>(descriptor: number, label: string, fn: () => T): T {
  if (descriptor < 0 && depth === 0) return fn()
  const outcome: { returned?: { value: T }; thrown?: { error: unknown } } = {}
  const result = native.runInside(descriptor, () => {
    depth++
    try {
      outcome.returned = { value: fn() }
    } catch (error) {
      outcome.thrown = { error }
    } finally {
      depth--
    }
  })
  if (outcome.thrown !== undefined) throw outcome.thrown.error
  if (outcome.returned !== undefined) return outcome.returned.value
  throw systemError(result, 'setns', `cannot enter ${label}`, {
    hint: hintIfDenied(result, () => missingCapability(descriptor, 'CAP_SYS_ADMIN', label) ?? cannotReturn()),
  })
}

/** A thread that could not come back is not let in. */
function cannotReturn(): string | undefined {
  const reason = missingCapability(-1, 'CAP_SYS_ADMIN')
  return reason === undefined ? undefined : `this thread could not come back from there: ${reason}`
}
