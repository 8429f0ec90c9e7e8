/** Transactions of which something fails that hardly ever does. */
import './netlink-hooks.js'
import { test } from 'tap'
import { hook, messagesIn, real } from './netlink-hooks.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'
import '../dist/index.js'

const RTM_GETROUTE = 26
const ENOMEM = 12

test('a change is undone whose effect could not be read', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  await ipDo(red, 'link', 'set', 'lo', 'up')
  await ipDo(red, 'route', 'add', '10.1.0.0/16', 'dev', 'lo', 'mtu', '1300')
  const routes = async () => (await red.exec('ip', ['route'], { check: true })).stdout
  const before = await routes()
  let lists = 0
  const done = hook(t, 'exchange', async (fd, request, reply) => {
    const isList = messagesIn(request).some(({ type }) => type === RTM_GETROUTE)
    if (isList && ++lists === 2) return { sent: -ENOMEM, received: 0, error: 0, more: false }
    return real.exchange(fd, request, reply)
  })
  const failed = red.transaction((tx) => tx.routes.replace({ to: '10.1.0.0/16', link: 'lo', metrics: { mtu: 1200 } }))
  const error = await failed.catch((reason) => reason)
  done()
  t.match(error, { code: 'ENOMEM', undoFailure: undefined })
  t.equal(await routes(), before)
})
