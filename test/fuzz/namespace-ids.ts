/** Numbers that namespaces have for each other: RTM_NEWNSID. */
import { namespaceIdMessage, readNamespaceId } from '../../dist/rtnetlink/namespace-ids.js'
import { messageTarget } from './target.js'

export const targets = [messageTarget('namespace-ids', namespaceIdMessage, readNamespaceId)]
