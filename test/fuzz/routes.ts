/** Routes: RTM_NEWROUTE, by the table and by the reader of common ones, which must say the same. */
import { deepStrictEqual } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import { readRoute } from '../../dist/rtnetlink/route.js'
import { routeMessage } from '../../dist/rtnetlink/route-attributes.js'
import { readCommonRoute } from '../../dist/rtnetlink/route-reader.js'
import { messageTarget, within } from './target.js'

const slow = messageTarget('routes', routeMessage, readRoute)

export const targets = [
  slow,
  {
    ...slow,
    name: 'common-routes',
    run(input: Uint8Array) {
      const common = within(input, readCommonRoute)
      if (!('value' in common) || common.value === undefined) return
      const route = within(input, (message) => readRoute(routeMessage.decode(message)))
      if (!isDeepStrictEqual(route, common)) deepStrictEqual(route, common)
    },
  },
]
