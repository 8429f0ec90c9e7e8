/** vxcan: two CAN interfaces joined like the ends of a cable (linux/can/vxcan.h). They are made by `createVxcan`. */
import { type AnyTable, attributes } from '../../netlink/table.js'
import { nestedLink } from '../link-attributes.js'
import { defineKind } from './registry.js'

export const vxcanAttributes = attributes({
  peer: [1, 'VXCAN_INFO_PEER', nestedLink],
})

defineKind({
  kind: 'vxcan',
  options: vxcanAttributes as unknown as AnyTable,
  readOnly: ['peer'],
  maker: 'has two ends: use createVxcan',
  kernel: { config: 'CONFIG_CAN_VXCAN', module: 'vxcan' },
})
