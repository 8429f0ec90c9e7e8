/** ifb: a link that queueing disciplines of arriving packets are hung on, as the target of a redirection. It has no options of its own. */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    ifb: NoOptions
  }
}

defineKind({ kind: 'ifb', options: unknownTable, kernel: { config: 'CONFIG_IFB', module: 'ifb' } })
