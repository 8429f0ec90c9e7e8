/** nlmon: a link on which the netlink messages of its namespace can be captured. It has no options of its own. */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    nlmon: NoOptions
  }
}

defineKind({ kind: 'nlmon', options: unknownTable, kernel: { config: 'CONFIG_NLMON', module: 'nlmon' } })
