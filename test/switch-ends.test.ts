/** How native switches and their ports end, and what is known of them afterwards. */
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { createSwitch } from '../dist/pump/switch.js'
import { createEndPair } from '../dist/sockets/pair.js'

test('how switches end, and what their ports had carried', async (t) => {
  const [a, b] = createEndPair()
  const closed = createSwitch()
  const port = closed.addPort(b)
  a.writeBatch([Buffer.from(`ffffffffffff02000000000188b5${'00'.repeat(46)}`, 'hex')])
  while (port.stats().framesIn === 0) await delay(1)
  await t.rejects(port.set(null as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await port.remove()
  t.match(port.stats(), { framesIn: 1, bytesIn: 60 }, 'valid after the end of the port')
  closed.addPort(b)
  t.match(port.stats(), { framesIn: 1 }, 'which is not the one that has its number now')
  await closed.close()
  t.same(await closed.done, { reason: 'closed' })
  t.same(await closed.addresses(), [])

  const control = new AbortController()
  const aborted = createSwitch({ signal: control.signal })
  control.abort()
  t.match(await aborted.done, { reason: 'aborted', error: { code: 'ABORT_ERR' } })
  t.match(await createSwitch({ signal: control.signal }).done, { reason: 'aborted' })
  await Promise.all([a.close(), b.close()])
})
