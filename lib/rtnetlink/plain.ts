/** Values as JSON has them. */

/** The same with hexadecimal text in place of bytes, of which JSON would make an object of numbered ones, and of bigints text. */
export function plain(value: object): Record<string, unknown>
export function plain(value: unknown): unknown
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map((one) => plain(one))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}
