/** Where a filter works: TCA_CLS_FLAGS_… (linux/pkt_cls.h). */
import { headerConstants } from '../../../netlink/header-words.js'
import { checkBoolean, valueError } from '../../../validate.js'

const { TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW, TCA_CLS_FLAGS_IN_HW } = headerConstants({
  TCA_CLS_FLAGS_SKIP_HW: 1,
  TCA_CLS_FLAGS_SKIP_SW: 2,
  TCA_CLS_FLAGS_IN_HW: 4,
})

export interface WorkPlace {
  /** Not in the device. */
  skipHardware?: boolean
  /** In the device only. */
  skipSoftware?: boolean
}

export const workPlaceKeys = ['skipHardware', 'skipSoftware']

export function workPlaceToWire({ skipHardware, skipSoftware }: WorkPlace, name: string): number | undefined {
  if (skipHardware !== undefined) checkBoolean(skipHardware, `${name}.skipHardware`)
  if (skipSoftware !== undefined) checkBoolean(skipSoftware, `${name}.skipSoftware`)
  if (skipHardware === true && skipSoftware === true) {
    throw valueError(`${name}.skipSoftware`, skipSoftware, 'leaves no place, with skipHardware')
  }
  const bits = (skipHardware === true ? TCA_CLS_FLAGS_SKIP_HW : 0) | (skipSoftware === true ? TCA_CLS_FLAGS_SKIP_SW : 0)
  return bits === 0 ? undefined : bits
}

export function workPlaceFromWire(flags = 0): WorkPlace & { inHardware: boolean } {
  return {
    skipHardware: (flags & TCA_CLS_FLAGS_SKIP_HW) !== 0,
    skipSoftware: (flags & TCA_CLS_FLAGS_SKIP_SW) !== 0,
    inHardware: (flags & TCA_CLS_FLAGS_IN_HW) !== 0,
  }
}
