/** Neighbors and forwarding databases: RTM_NEWNEIGH; and the neighbor tables: RTM_NEWNEIGHTBL. */
import { readFdbEntry } from '../../dist/rtnetlink/fdb-entry.js'
import { neighborMessage, readNeighbor } from '../../dist/rtnetlink/neighbor.js'
import { neighborTableMessage, readNeighborTable } from '../../dist/rtnetlink/neighbor-table.js'
import { messageTarget } from './target.js'

export const targets = [
  messageTarget('neighbors', neighborMessage, (decoded) => [readNeighbor(decoded), readFdbEntry(decoded)]),
  messageTarget('neighbor-tables', neighborTableMessage, readNeighborTable),
]
