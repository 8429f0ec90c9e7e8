/** MAC addresses between their text (`02:00:00:00:00:01`) and their octets. */
import { checkString, valueError } from '../validate.js'

/** The octets of a MAC address, or undefined when the text is not one. Colons or hyphens, upper or lower case. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(([:-])[0-9a-f]{2})(\2[0-9a-f]{2}){4}$/i.test(text)) return undefined
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16))
}

const hexOctets = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

/** The text of a hardware address of any length, lower case with colons. */
export function formatMac(octets: Uint8Array, offset = 0, length = octets.length - offset): string {
  let text = ''
  for (let i = offset; i < offset + length; i++)
    text += i === offset ? hexOctets[octets[i] ?? 0] : `:${hexOctets[octets[i] ?? 0]}`
  return text
}

/** A MAC address as the kernel's answers have it: lower case, with colons. */
export function normalMac(text: string): string {
  return text.toLowerCase().replaceAll('-', ':')
}

/** The octets of a unicast MAC address that a caller passed. */
export function checkMac(value: unknown, name: string): Uint8Array {
  checkString(value, name)
  const octets = parseMac(value)
  if (octets === undefined)
    throw valueError(name, value, "a MAC address is six hexadecimal octets, as in '02:00:00:00:00:01'")
  return octets
}

/** The same, and an address that an interface may have: neither multicast nor all zeros. */
export function checkInterfaceMac(value: unknown, name: string): Uint8Array {
  const octets = checkMac(value, name)
  if (((octets[0] ?? 0) & 1) === 1) throw valueError(name, value, 'is a multicast address, which no interface may have')
  if (octets.every((octet) => octet === 0)) throw valueError(name, value, 'is all zeros, which no interface may have')
  return octets
}
