/** Names of interfaces, and the ways to say which link is meant. */
import { checkString, typeError, valueError } from '../validate.js'

const encoder = new TextEncoder()
/** IFNAMSIZ with its NUL (linux/if.h), and ALTIFNAMSIZ (linux/if_link.h). */
const NAME_BYTES = 15
const ALTERNATIVE_NAME_BYTES = 127

/**
 * A name for a link: 1 to 15 bytes without '/', ':' or white space, not '.' or '..'. With `pattern`, one '%d' is allowed,
 * in whose place the kernel puts the first free number.
 */
export function checkLinkName(value: unknown, name: string, pattern = false): asserts value is string {
  checkText(value, name, NAME_BYTES)
  if (!value.includes('%')) return
  if (!pattern) throw valueError(name, value, "may not contain '%'")
  if (value.split('%').length !== 2 || !value.includes('%d')) {
    throw valueError(name, value, "may contain '%' only as one '%d', in whose place the kernel puts a number")
  }
}

/** A name to look a link up by: its own, or an alternative name of up to 127 bytes. */
export function checkAnyLinkName(value: unknown, name: string): asserts value is string {
  checkText(value, name, ALTERNATIVE_NAME_BYTES)
}

/** True when a name is too long to be a link's own: then it is an alternative name. */
export function isLongName(name: string): boolean {
  return encoder.encode(name).length > NAME_BYTES
}

function checkText(value: unknown, name: string, bytes: number): asserts value is string {
  checkString(value, name)
  if (value === '') throw valueError(name, value, 'is empty')
  const length = encoder.encode(value).length
  if (length > bytes) throw valueError(name, value, `has ${length} bytes, and a link's name may have ${bytes}`)
  if (value === '.' || value === '..') throw valueError(name, value, 'is not a name that a link may have')
  const wrong = /[/:\s\0]/.exec(value)?.[0]
  if (wrong !== undefined) throw valueError(name, value, `may not contain ${JSON.stringify(wrong)}`)
}

/** A link's index: a positive 32-bit integer. */
export function checkLinkIndex(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw typeError(name, 'an integer', value)
  if (value < 1 || value > 0x7fff_ffff) throw valueError(name, value, 'is not the index of a link: they start at 1')
}
