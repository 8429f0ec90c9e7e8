/** Routes: RTM_NEWROUTE. */
import { readRoute, routeMessage } from '../../dist/rtnetlink/route.js'
import { messageTarget } from './target.js'

export const targets = [messageTarget('routes', routeMessage, readRoute)]
