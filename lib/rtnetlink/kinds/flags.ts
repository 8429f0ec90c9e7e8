/** Options that are bits of one number: an object with true or false for each. */
import { type AttributeType, mapped } from '../../netlink/attribute.js'
import type { Struct, StructOf } from '../../netlink/struct.js'
import { checkBoolean, checkOptions } from '../../validate.js'

type Bits = Readonly<Record<string, number>>
type Flags<B extends Bits> = { [K in keyof B]?: boolean }

/** The bits that are said to be set, and those of which anything is said. */
function bitsOf<B extends Bits>(bits: B, flags: Flags<B>, name: string): { values: number; mask: number } {
  checkOptions(flags, name, Object.keys(bits))
  let values = 0
  let mask = 0
  for (const [key, bit] of Object.entries(bits)) {
    const value = flags[key]
    if (value === undefined) continue
    checkBoolean(value, `${name}.${key}`)
    mask |= bit
    if (value) values |= bit
  }
  return { values, mask }
}

function flagsOf<B extends Bits>(bits: B, values: number, mask: number): Flags<B> {
  const known = Object.entries(bits).filter(([, bit]) => (mask & bit) !== 0)
  return Object.fromEntries(known.map(([key, bit]) => [key, (values & bit) !== 0])) as Flags<B>
}

/** A number whose bits are all written at once: what is not given is off. */
export function flags<const B extends Bits>(wire: AttributeType<number>, bits: B): AttributeType<Flags<B>> {
  return mapped(
    wire,
    (values) => flagsOf(bits, values, 0xffff_ffff),
    (value, name) => bitsOf(bits, value, name).values,
  )
}

/** A struct of two numbers, the values and which of them are meant: what is not given stays as it is. */
export function maskedFlags<const B extends Bits, S extends Struct>(struct: S, bits: B): AttributeType<Flags<B>> {
  return {
    decode(source, offset, length) {
      const { values, mask } = struct.decode(source, offset, length) as { values: number; mask: number }
      return flagsOf(bits, values, mask)
    },
    encode(writer, value, name) {
      struct.encode(writer, bitsOf(bits, value, name) as unknown as Partial<StructOf<S>>)
    },
  }
}
