/** Stacks of MPLS labels, as routes and encapsulations have them (linux/mpls.h, RFC 3032). */
import { type AttributeType, Malformed } from '../netlink/attribute.js'
import { headerConstants } from '../netlink/header-words.js'
import { checkInteger, typeError, valueError } from '../validate.js'

export const mplsConstants = headerConstants({
  MPLS_LS_LABEL_SHIFT: 12,
  MPLS_LS_S_MASK: 0x100,
  AF_MPLS: 28,
})

export const { AF_MPLS } = mplsConstants
const { MPLS_LS_LABEL_SHIFT, MPLS_LS_S_MASK } = mplsConstants

/** Labels are numbers of 20 bits. */
export const LABEL_BITS = 20
/** The most that the kernel takes in a stack (MAX_NEW_LABELS in net/mpls/internal.h). */
const MOST_LABELS = 30

/** Labels, the outermost first; the last has the bottom of stack bit. */
export const labelStack: AttributeType<readonly number[]> = {
  decode(source, offset, length) {
    if (length % 4 !== 0) throw new Malformed(`has ${length} bytes, which are no whole labels`)
    return Array.from(
      { length: length / 4 },
      (_, i) => source.view.getUint32(offset + 4 * i, false) >>> MPLS_LS_LABEL_SHIFT,
    )
  },
  encode(writer, labels) {
    labels.forEach((label, i) => {
      const bottom = i === labels.length - 1 ? MPLS_LS_S_MASK : 0
      writer.view.setUint32(writer.reserve(4), label * 2 ** MPLS_LS_LABEL_SHIFT + bottom, false)
    })
  },
}

/** Checks one label. */
export function checkLabel(label: unknown, name: string): asserts label is number {
  checkInteger(label, name, 0, 2 ** LABEL_BITS - 1)
}

/** Checks a stack of labels. */
export function checkLabels(labels: unknown, name: string): asserts labels is readonly number[] {
  if (!Array.isArray(labels)) throw typeError(name, 'an array of labels', labels)
  if (labels.length === 0 || labels.length > MOST_LABELS) {
    throw valueError(name, labels, `there must be 1 to ${MOST_LABELS} labels`)
  }
  labels.forEach((label, i) => {
    checkLabel(label, `${name}[${i}]`)
  })
}
