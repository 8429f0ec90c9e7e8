/** dummy: a link that swallows what is sent on it, and holds addresses. It has no options of its own. */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    dummy: NoOptions
  }
}

defineKind({ kind: 'dummy', options: unknownTable, kernel: { config: 'CONFIG_DUMMY', module: 'dummy' } })
