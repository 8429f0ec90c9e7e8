/**
 * team: several links as one, run by a program. Its options are not rtnetlink's: teamd(8) sets them through generic netlink
 * (linux/if_team.h).
 */
import { unknownTable } from '../../netlink/table.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    team: NoOptions
  }
}

defineKind({ kind: 'team', options: unknownTable, kernel: { config: 'CONFIG_NET_TEAM', module: 'team' } })
