/** Counters as attributes. */
import { type AttributeType, attributeU64, mapped } from '../netlink/attribute.js'
import { checkInteger } from '../validate.js'

/** An unsigned 64-bit counter as a number, exact up to 2^53. */
export const counter64Attribute: AttributeType<number> = mapped(attributeU64, Number, (value, name) => {
  checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER)
  return BigInt(value)
})
