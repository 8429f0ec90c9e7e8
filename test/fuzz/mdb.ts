/** Multicast databases of bridges: RTM_NEWMDB, and the requests that change them. */
import { mdbChangeMessage, mdbMessage, readMdbEntries, readMdbRouters } from '../../dist/rtnetlink/mdb-entry.js'
import { messageTarget } from './target.js'

export const targets = [
  messageTarget('mdb', mdbMessage, (decoded) => [readMdbEntries(decoded), readMdbRouters(decoded)]),
  messageTarget('mdb-changes', mdbChangeMessage),
]
