/**
 * Checks of what callers pass in. They throw before anything is sent: TypeError with code ERR_INVALID_ARG_TYPE for the wrong
 * type, RangeError with ERR_INVALID_ARG_VALUE for a wrong value of the right type, RangeError with ERR_OUT_OF_RANGE for a
 * number that is too small or too large. `name` is the option's path as the caller wrote it.
 */
import { inspect } from 'node:util'

export type ArgumentErrorCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE'

function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 64, maxArrayLength: 4 })
}

/** A TypeError: `mtu must be an integer, not 'abc'`. */
export function typeError(name: string, expected: string, value: unknown): TypeError & { code: ArgumentErrorCode } {
  const error = new TypeError(`${name} must be ${expected}, not ${shown(value)}`)
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' as const })
}

/** A RangeError: `address '10.0.1/24': an IPv4 address has four parts`. */
export function valueError(name: string, value: unknown, reason: string): RangeError & { code: ArgumentErrorCode } {
  return Object.assign(new RangeError(`${name} ${shown(value)}: ${reason}`), { code: 'ERR_INVALID_ARG_VALUE' as const })
}

/** A RangeError: `mtu must be from 68 to 65535, not 70000`. */
export function rangeError(
  name: string,
  minimum: number | bigint,
  maximum: number | bigint,
  value: unknown,
): RangeError & { code: ArgumentErrorCode } {
  const error = new RangeError(`${name} must be from ${minimum} to ${maximum}, not ${shown(value)}`)
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' as const })
}

export function checkString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw typeError(name, 'a string', value)
}

export function checkBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw typeError(name, 'true or false', value)
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw typeError(name, 'a function', value)
}

/** An integer within bounds (both included). */
export function checkInteger(value: unknown, name: string, minimum: number, maximum: number): asserts value is number {
  if (typeof value !== 'number') throw typeError(name, 'an integer', value)
  if (!Number.isInteger(value)) throw typeError(name, 'an integer', value)
  if (value < minimum || value > maximum) throw rangeError(name, minimum, maximum, value)
}

/** One of a list of words. */
export function checkOneOf<T extends string>(value: unknown, name: string, words: readonly T[]): asserts value is T {
  if (typeof value !== 'string') throw typeError(name, `one of ${words.join(', ')}`, value)
  if (!(words as readonly string[]).includes(value))
    throw valueError(name, value, `expected one of ${words.join(', ')}`)
}

/** An options object, all of whose keys are known: a typo is an error, not a silence. */
export function checkOptions(value: unknown, name: string, keys: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw typeError(name, 'an object', value)
  for (const key of Object.keys(value)) {
    if (keys.includes(key)) continue
    const near = nearest(key, keys)
    const known = near === undefined ? `the options are ${keys.join(', ')}` : `did you mean '${near}'?`
    throw valueError(name, key, `is not an option here; ${known}`)
  }
}

export function checkSignal(value: unknown, name: string): asserts value is AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) throw typeError(name, 'an AbortSignal', value)
}

/** The known word within two edits of an unknown one. */
function nearest(word: string, words: readonly string[]): string | undefined {
  let best: string | undefined
  // Of short words nearly every other is within two edits.
  let least = word.length < 6 ? 2 : 4
  for (const candidate of words) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Edits that lead from one word to the other: a letter added, dropped or replaced, or two neighbors swapped. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : replaced
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
