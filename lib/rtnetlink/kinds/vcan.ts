/** vcan: a CAN bus within the machine (Documentation/networking/can.rst). It has no options of its own. */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    vcan: NoOptions
  }
}

defineKind({ kind: 'vcan', options: unknownTable, kernel: { config: 'CONFIG_CAN_VCAN', module: 'vcan' } })
