/** Ids of namespaces, as a watch sees them. */

import { rtnetlinkConstants } from '../constants.js'
import { type NamespaceId, namespaceIdMessage, readNamespaceId } from '../namespace-ids.js'
import type { Observed } from './observed.js'

const { RTM_NEWNSID, RTM_DELNSID, RTNLGRP_NSID } = rtnetlinkConstants

export const observedNamespace: Observed<NamespaceId> = {
  object: 'namespace',
  groups: [RTNLGRP_NSID],
  there: RTM_NEWNSID,
  gone: RTM_DELNSID,
  list: (namespace) => namespace.namespaceIds.stream(),
  read: (_, message) => readNamespaceId(namespaceIdMessage.decode(message)),
  key: ({ id }) => String(id),
  same: () => true,
}
